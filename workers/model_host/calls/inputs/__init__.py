"""From what was pushed to the arguments of `predict`."""
