"""One worker process of a library: how fast it drains a full queue, how soon it starts a job when idle."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.common import placement
from bench.common.processes import BenchError, MeasuredProcess
from bench.peers.venvs import python

if TYPE_CHECKING:
    from bench.common.server import BenchServer
    from bench.peers.contenders import Contender

# A library that does less than this per second has stopped.
_LEAST_RATE = 50
_START_PATIENCE_S = 60.0
_SETTLE_PATIENCE_S = 10.0


def running(
    contender: Contender, server: BenchServer, command: str, cores: frozenset[int], **variables: str
) -> MeasuredProcess:
    """A library's module, told to `fill`, `work` or `trickle`, with further variables."""
    return MeasuredProcess(
        [python(contender.library), "-m", contender.module, command],
        {**contender.environment, "REDIS_URL": server.url, **variables},
        cores,
        contender.folder,
    )


@dataclass(frozen=True, slots=True)
class Drain:
    """No-op jobs per second, and how busy the worker's processes and the server were: shares of one core, 0 to 1."""

    rate: float
    process: float
    server: float


def throughput(contender: Contender, server: BenchServer, jobs: int) -> Drain:
    """How fast one worker drains `jobs` no-op jobs, or its share of them.

    Raises BenchError too if it did not leave a result for each behind.
    """
    server.flush()
    count = max(100, round(jobs * contender.share))
    told = {"JOBS": str(count)}
    patience_s = _START_PATIENCE_S + count / _LEAST_RATE
    with running(contender, server, "fill", placement.CORES, **told) as filling:
        filling.finish(patience_s)
    with running(contender, server, "work", placement.MEASURED, **told) as worker:
        worker.message(patience_s)  # it is warm
        cpu_s, server_cpu_s = worker.cpu_s(), server.process.cpu_s()
        message = worker.message(patience_s)
        cpu_s, server_cpu_s = worker.cpu_s() - cpu_s, server.process.cpu_s() - server_cpu_s
        _check_results(contender, server, count)
    seconds = message["seconds"]
    return Drain(message["jobs"] / seconds, cpu_s / seconds, server_cpu_s / seconds)


def _check_results(contender: Contender, server: BenchServer, count: int) -> None:
    # Each of the libraries keeps its results one key a job. Few acknowledge in the same step: Celery's last may wait.
    deadline = time.monotonic() + _SETTLE_PATIENCE_S
    while (kept := server.client.dbsize()) < count:
        if time.monotonic() > deadline:
            raise BenchError(
                f"{contender.name}: {count} jobs ran, but only {kept} keys are left: where are the results?"
            )
        time.sleep(0.05)


def latencies_s(contender: Contender, server: BenchServer, jobs: int, rate: float) -> list[float]:
    """Seconds from just before each of `jobs` pushes, at `rate` a second, to the start of its function."""
    server.flush()
    told = {"JOBS": str(jobs), "RATE": f"{rate:g}"}
    with (
        running(contender, server, "work", placement.CORES, **told) as worker,
        running(contender, server, "trickle", placement.CORES, **told) as sender,
    ):
        worker.message(_START_PATIENCE_S)
        sender.go_on()
        found: list[float] = worker.message(_START_PATIENCE_S + 2 * jobs / rate)["latencies"]
    return found
