"""The load generator: `python -m bench load`. Open loop: requests leave at their scheduled times.

command.py reads the command line; generator.py sends the load that plan.py describes; user.py is one simulated
user and client.py its HTTP; account.py says what became of every job; observer.py samples the queue and the pods.
"""
