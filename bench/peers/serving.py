"""How many requests a second a server of models answers, with one model process."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from bench.common import placement
from bench.common.processes import MeasuredProcess
from bench.common.server import free_port
from bench.peers.contenders import OTHER, OURS
from bench.peers.measure import PATIENCE_S, until_answered
from bench.peers.venvs import python

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.common.server import BenchServer
    from bench.peers.contenders import Contender
    from bench.peers.measure import Figures, PeersSizes

_BODY = b'{"input":"hello"}'
_INPUTS = 2_000


def one_client(contender: Contender, server: BenchServer, sizes: PeersSizes) -> Figures:
    """Requests per second of a client that sends one after the other, and milliseconds from request to answer."""
    return _figures(contender, server, 1, sizes.push_s)


def sixteen_clients(contender: Contender, server: BenchServer, sizes: PeersSizes) -> Figures:
    """The same of 16 clients."""
    return _figures(contender, server, 16, sizes.push_s)


def all_at_once(contender: Contender, server: BenchServer, _sizes: PeersSizes) -> Figures:
    """The same of 2,000 clients that send one request each, at the same time."""
    return _figures(contender, server, _INPUTS, 0)


def _figures(contender: Contender, server: BenchServer, clients: int, seconds: float) -> Figures:
    server.flush()
    with _served(contender, server) as port:
        told = [str(port), str(clients), f"{seconds:g}", contender.path, "200", _BODY.decode()]
        with MeasuredProcess([sys.executable, "-m", "bench.peers.hammer", *told], {}) as load:
            load.message(PATIENCE_S)  # the warm-up is over
            measured = load.message(PATIENCE_S + 2 * seconds)
    latencies_ms = {f"p{percent} ms": 1000 * found_s for percent, found_s in measured["latencies"].items()}
    return {"requests/s": measured["answers"] / measured["seconds"], **latencies_ms}


@contextlib.contextmanager
def _served(contender: Contender, server: BenchServer) -> Iterator[int]:
    """The port at which the model is served, on all cores."""
    port = free_port()
    told = {"HOST": "127.0.0.1", "PORT": str(port), "REDIS_URL": server.url, "LOG_LEVEL": "WARNING"}
    environment = {**told, **contender.environment}
    modules = [*contender.arguments, "workers"] if contender.library in (OURS, OTHER) else contender.arguments
    with contextlib.ExitStack() as stack:
        endpoint, *_ = [
            stack.enter_context(
                MeasuredProcess(
                    [python(contender.library), "-m", module], environment, placement.CORES, contender.folder
                )
            )
            for module in modules
        ]
        until_answered(endpoint, port, contender.path, _BODY)
        yield port
