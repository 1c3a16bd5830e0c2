"""`python -m bench faults`: load while parts of the service are killed, and an account of every job.

run.py sends both, verdict.py accounts. A place is what parts can be killed of: processes (local.py) or pods (pods.py).
"""
