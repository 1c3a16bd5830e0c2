"""What a waiting job takes in the server, and what a worker that waits for one takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.common import placement
from bench.peers.workers import running

if TYPE_CHECKING:
    from bench.common.server import BenchServer
    from bench.peers.contenders import Contender

# A library that enqueues less than this per second has stopped.
_LEAST_RATE = 50
_START_PATIENCE_S = 60.0
_SETTLE_S = 2.0


def waiting_bytes(contender: Contender, server: BenchServer, jobs: int) -> float:
    """The server's memory for each of `jobs` waiting no-op jobs: the difference that they make to an empty server.

    All is in it that the library's client writes, its own functions and scripts too.
    """
    server.flush()
    before = server.used_bytes()
    with running(contender, server, "fill", placement.CORES, JOBS=str(jobs)) as filling:
        filling.finish(_START_PATIENCE_S + jobs / _LEAST_RATE)
    return (server.used_bytes() - before) / jobs


def resident_bytes(contender: Contender, server: BenchServer) -> int:
    """Memory of all processes of a worker that has run one job and waits; what they share counts once."""
    server.flush()
    with (
        running(contender, server, "work", placement.CORES, JOBS="1") as worker,
        running(contender, server, "trickle", placement.CORES, JOBS="1") as sender,
    ):
        worker.message(_START_PATIENCE_S)  # one job has run
        sender.kill()
        time.sleep(_SETTLE_S)
        return worker.resident_bytes()
