"""`python -m bench experiments`: loads x scaling configurations on a cluster, one run each, and a report over all.

matrix.py says which cells there are and which are done; configurations.py renders deploy/values/experiments; stage.py
brings a configuration onto the cluster, cell.py makes the run.
"""
