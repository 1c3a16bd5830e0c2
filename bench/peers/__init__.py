"""One module per peer, run in the peer's own environment: `python -m bench.peers.with_X fill | work | trickle`."""
