"""The commands of the README: `python3 deploy/local up | test | ...`."""
