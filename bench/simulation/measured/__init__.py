"""The simulator's word on what was measured: runs of the experiments, and the models of a release."""
