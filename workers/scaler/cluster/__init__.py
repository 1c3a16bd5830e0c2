"""The cluster: what a scaler sees of it, and how its decisions reach it."""
