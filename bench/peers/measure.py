"""The kinds of measurement: each is of one program, on an empty server, and gives the figures of one round."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from bench.common import placement
from bench.common.figures import percentile
from bench.common.processes import BenchError, MeasuredProcess
from bench.common.server import free_port
from bench.peers.contenders import BARE
from bench.peers.inputs import input_json, publish_schema
from bench.peers.venvs import python

if TYPE_CHECKING:
    from bench.common.server import BenchServer
    from bench.peers.contenders import Contender

Figures: TypeAlias = dict[str, float]  # by the heads of their columns

PATIENCE_S = 60.0
# A library that runs fewer jobs than this per second has stopped.
_LEAST_RATE = 50
_SETTLE_S = 2.0
_TRICKLE_RATE = 20  # jobs/s
_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class PeersSizes:
    """How much is measured in one round."""

    jobs: int
    push_s: float
    trickled: int
    waiting: int


def _start(
    one: Contender, server: BenchServer, command: str, jobs: int, cores: frozenset[int] = placement.CORES
) -> MeasuredProcess:
    """A library's program, told to `fill`, `work` or `trickle`."""
    told = {"REDIS_URL": server.url, "JOBS": str(jobs), "RATE": str(_TRICKLE_RATE)}
    line = [python(one.library), "-m", *one.arguments, command]
    return MeasuredProcess(line, {**one.environment, **told}, cores, one.folder)


def jobs(contender: Contender, server: BenchServer, sizes: PeersSizes) -> Figures:
    """No-op jobs per second of one worker that drains a full queue, and the shares of a core that this took.

    Raises BenchError too if the worker did not leave a result for each job behind.
    """
    server.flush()
    count = max(100, round(sizes.jobs * contender.share))
    patience_s = PATIENCE_S + count / _LEAST_RATE
    with _start(contender, server, "fill", count) as filling:
        filling.finish(patience_s)
    with _start(contender, server, "work", count, placement.MEASURED) as worker:
        worker.message(patience_s)  # it is warm
        before_s = worker.cpu_s(), server.process.cpu_s()
        told = worker.message(patience_s)
        after_s = worker.cpu_s(), server.process.cpu_s()
        # Each library keeps a result under a key of its own, and Celery's last may come late.
        deadline = time.monotonic() + PATIENCE_S
        while (kept := server.client.dbsize()) < count:
            if time.monotonic() > deadline:
                raise BenchError(f"{contender.name}: {count} jobs ran, but only {kept} results are kept")
            time.sleep(0.05)
    shares = [(after - before) / told["seconds"] for after, before in zip(after_s, before_s, strict=True)]
    return {"jobs/s": told["jobs"] / told["seconds"], "worker": shares[0], "redis": shares[1]}


def pushes(contender: Contender, server: BenchServer, sizes: PeersSizes) -> Figures:
    """Answered pushes per second of one process, and the shares of a core that this took.

    Raises BenchError too if the server holds fewer jobs than pushes were acknowledged.
    """
    server.flush()
    port = free_port()
    told = {"HOST": "127.0.0.1", "PORT": str(port), "REDIS_URL": server.url, "MAX_BACKLOG": "100000000"}
    command = [python(contender.library), "-m", *contender.arguments]
    environment = {**told, "LOG_LEVEL": "WARNING", **contender.environment}
    hammer = [sys.executable, "-m", "bench.peers.hammer", str(port), str(_CONNECTIONS), f"{sizes.push_s:g}"]
    body = input_json(contender.members) if contender.members else None
    path = "/push" if body else "/push?input=x"
    hammer += [path, "202"]
    if body:
        hammer.append(body.decode())
    if contender.is_checked:
        asyncio.run(publish_schema(server.url, contender.members))
    with MeasuredProcess(command, environment, placement.MEASURED, contender.folder) as endpoint:
        until_answered(endpoint, port, path, body)
        with MeasuredProcess(hammer, {}, placement.REST) as load:
            load.message(PATIENCE_S)  # the warm-up is over
            before_s = time.perf_counter(), endpoint.cpu_s(), server.process.cpu_s()
            measured = load.message(PATIENCE_S + 2 * sizes.push_s)
            after_s = time.perf_counter(), endpoint.cpu_s(), server.process.cpu_s()
    passed_s, *used_s = (after - before for after, before in zip(after_s, before_s, strict=True))
    # The gateway makes a key for each job, Celery an entry of one list.
    kept = max(server.client.dbsize(), server.client.llen("celery"))
    if kept < measured["answers"] and contender != BARE:
        raise BenchError(f"{contender.name}: {measured['answers']} pushes were acknowledged, but {kept} are kept")
    return {
        "pushes/s": measured["answers"] / measured["seconds"],
        "process": used_s[0] / passed_s,
        "redis": used_s[1] / passed_s,
        "load": measured["cpu_s"] / measured["seconds"],
    }


def until_answered(process: MeasuredProcess, port: int, path: str, body: bytes | None) -> None:
    """Returns when a POST of this JSON, or of nothing, is answered with 2xx. Raises BenchError."""
    headers = {"Content-Type": "application/json"} if body else {}
    post = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers, method="POST")
    deadline = time.monotonic() + PATIENCE_S
    while process.running and time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(post, timeout=PATIENCE_S):  # noqa: S310
            return
        time.sleep(0.05)
    raise process.error("does not answer")


def latency(contender: Contender, server: BenchServer, sizes: PeersSizes) -> Figures:
    """Milliseconds from just before a push to the start of its function, on a worker that has nothing else to do."""
    server.flush()
    with (
        _start(contender, server, "work", sizes.trickled) as worker,
        _start(contender, server, "trickle", sizes.trickled) as sender,
    ):
        worker.message(PATIENCE_S)  # one job has run
        sender.go_on()
        found_s = worker.message(PATIENCE_S + 2 * sizes.trickled / _TRICKLE_RATE)["latencies"]
    return {f"p{percent} ms": 1000 * percentile(found_s, percent) for percent in (50, 95)}


def waiting(contender: Contender, server: BenchServer, sizes: PeersSizes) -> Figures:
    """The server's memory for 100,000 waiting no-op jobs: what `sizes.waiting` of them add to an empty server.

    Everything that the library's client writes is in it, its own functions and scripts too.
    """
    server.flush()
    before = server.used_bytes()
    with _start(contender, server, "fill", sizes.waiting) as filling:
        filling.finish(PATIENCE_S + sizes.waiting / _LEAST_RATE)
    return {"MB": (server.used_bytes() - before) / sizes.waiting / 10}


def resident(contender: Contender, server: BenchServer, _sizes: PeersSizes) -> Figures:
    """Memory of all processes of a worker that has run one job and waits; what they share counts once."""
    server.flush()
    with _start(contender, server, "work", 1) as worker, _start(contender, server, "trickle", 1) as sender:
        worker.message(PATIENCE_S)  # one job has run
        sender.kill()
        time.sleep(_SETTLE_S)
        return {"MB": worker.resident_bytes() / 1e6}
