"""`python -m bench peers`, and one module per peer, run in the peer's own environment.

`python -m bench.peers.libraries.with_X fill | work | trickle`; `fastapi_celery` is a service, as the gateway is.
"""
