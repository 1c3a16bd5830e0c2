"""`python -m bench faults`: load while parts of the service are killed, and an account in which nothing is unexplained.

schedule.py says what is killed when; local.py and pods.py are the places where it happens, processes and pods;
run.py sends the load meanwhile; verdict.py makes the account. fleet.py and server.py serve the fault tests, too.
"""
