"""What the generator itself takes: against a server that does nothing, or a gateway of its own, on another core."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from bench.common import launch, placement, server
from bench.common.processes import Process
from bench.load.lateness import LATE_S, lateness
from bench.peers import gateways

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.load.generator import Generator

LOAD = "constant:2000"
DURATION_S = 10.0
_PATIENCE_S = 30.0


class Target:
    """What the load is sent to. `cpu_s` is its processor time so far, in seconds."""

    def __init__(self, name: str, url: str, process: Process) -> None:
        self.name = name
        self.url = url
        self.process = process
        self.began_s, self.began_cpu_s = time.perf_counter(), process.cpu_s()

    def cpu_share(self) -> float:
        """Of one core, since it was made."""
        return (self.process.cpu_s() - self.began_cpu_s) / (time.perf_counter() - self.began_s)


@contextlib.contextmanager
def null_server() -> Iterator[Target]:
    """A server that does nothing. Raises BenchError if it does not start."""
    with (
        placement.on(placement.REST),
        Process([sys.executable, "-m", "bench.load.null"], {}, placement.MEASURED) as process,
    ):
        port = process.message(_PATIENCE_S)["port"]
        yield Target("a server that does nothing", f"http://127.0.0.1:{port}", process)


@contextlib.contextmanager
def own_gateway() -> Iterator[Target]:
    """A gateway on an embedded server in memory, which is on the generator's core; there are no workers."""
    with placement.on(placement.REST), server.running("valkey") as redis:
        port = launch.free_port()
        variables = gateways.settings(port, redis.url)
        with Process([sys.executable, "-m", "gateway"], variables, placement.MEASURED) as process:
            gateways.wait(process, port, "GET", "/readyz", 200)
            yield Target("a gateway of its own", f"http://127.0.0.1:{port}", process)


def overhead(generator: Generator, target: Target) -> str:
    """What a run against it says of the generator, for people."""
    jobs = generator.account.jobs
    late = lateness(jobs)
    if late is None:
        return "Nothing was sent."
    seconds = max([generator.duration_s, *(job.sent_s for job in jobs if job.sent_s is not None)])
    each_s = generator.cpu_s / len(jobs)
    percentiles = " / ".join(_ms(value) for value in generator.account.percentiles_s(50, 95, 99))
    lines = [
        f"The generator against {target.name}:",
        f"  rate      {len(jobs) / seconds:,.0f} jobs/s sent, of {len(jobs) / generator.duration_s:,.0f} scheduled; "
        f"{generator.requests / seconds:,.0f} requests/s",
        f"  lateness  p50 {_ms(late.p50_s)}, p99 {_ms(late.p99_s)}, most {_ms(late.most_s)}; "
        f"{late.share:.2%} more than {1000 * LATE_S:g} ms",
        f"  latency   p50/p95/p99 {percentiles}",
        f"  CPU       {1e6 * each_s:.0f} us a job, {1e6 * generator.cpu_s / generator.requests:.0f} us a request: "
        f"one core would be full at {1 / each_s:,.0f} jobs/s",
        f"  its side  {target.cpu_share():.0%} of a core, {_where()}",
    ]
    return "\n".join(lines)


def _where() -> str:
    return "the same one" if placement.MEASURED == placement.REST else "one that the generator keeps off"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.2f} ms"
