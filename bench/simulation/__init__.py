"""The simulator: jobs, pods, scalers and what carries out their decisions, as exact discrete events.

`cluster.py` is the model of stream and pods, `actuation.py` and `hpa.py` carry decisions out, `rule.py` is what a
rule sees and says, `simulate.py` runs one of them against a load.
"""
