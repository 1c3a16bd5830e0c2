"""The load generator: `python -m bench load`. Open loop: requests leave at their time, whatever the answers do.

command.py reads the command line; generator.py sends the load that plan.py describes; user.py is one simulated
user, client.py its HTTP; account.py knows what became of every job; observer.py looks at the queue and the pods.
"""
