"""`python3 deploy/local bench`: this project's rates and latencies beside other libraries', in one table.

    no-op jobs/s of one worker process, beside arq, SAQ, taskiq and streaQ
    pushes/s of one gateway process, beside a bare Starlette endpoint
    time from enqueue to start on an idle worker, beside those libraries and Celery

All programs run in every round, one after another, so that what the machine does besides strikes all alike.
Exit code: 0 if all was measured, whatever the figures; 1 if something could not be, with one sentence on stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bench import gateways, server, venvs, workers
from bench.contenders import LATENCY, OURS, PEERS, THROUGHPUT
from bench.processes import BenchError
from bench.report import Run, machine, plain, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contenders import Contender

T = TypeVar("T")
KINDS = ("jobs", "pushes", "latency")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured in one round."""

    jobs: int
    push_s: float
    trickled: int
    connections: int = 64
    rate: float = 20.0


FULL = Sizes(jobs=50_000, push_s=4.0, trickled=60)
QUICK = Sizes(jobs=20_000, push_s=2.0, trickled=20)


def measure(
    run: Run,
    redis: server.Server,
    sizes: Sizes,
    throughput: Sequence[Contender],
    latency: Sequence[Contender],
    endpoints: Sequence[str],
) -> None:
    """All rounds; adds the figures to `run`. Each round starts with another program. Raises BenchError."""  # fmt: skip
    for number in range(run.rounds):
        for contender in _turned(throughput, number):
            drain = workers.throughput(contender, redis, sizes.jobs)
            run.jobs.setdefault(contender, []).append(drain)
            _say(f"round {number + 1}: {contender.name}: {drain.rate:,.0f} jobs/s")
        for name in _turned(endpoints, number):
            found = gateways.pushes(name, redis, sizes.push_s, sizes.connections)
            run.pushes.setdefault(name, []).append(found)
            _say(f"round {number + 1}: {name}: {found.rate:,.0f} pushes/s")
        for contender in _turned(latency, number):
            latencies_s = workers.latencies_s(contender, redis, sizes.trickled, sizes.rate)
            run.latencies_s.setdefault(contender, []).append(latencies_s)
            _say(f"round {number + 1}: {contender.name}: {1000 * sorted(latencies_s)[len(latencies_s) // 2]:.2f} ms")


def _turned(items: Sequence[T], by: int) -> list[T]:
    by %= max(1, len(items))
    return [*items[by:], *items[:by]]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main() -> None:
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(prog="python3 deploy/local bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=_positive, help="how often all is measured (default: 5, or 1 if quick)")
    parser.add_argument("--quick", action="store_true", help="one small round: a look, not a measurement")
    parser.add_argument("--only", choices=KINDS, nargs="+", default=KINDS, help="kinds to measure (default: all)")
    parser.add_argument(
        "--server", default="valkey", help="valkey (embedded, the default), or a program's name or path"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes all raw figures, too")
    options = parser.parse_args()
    try:
        _bench(options)
    except BenchError as error:
        sys.exit(f"bench: {error}")


def _bench(options: argparse.Namespace) -> None:
    on = machine()
    throughput = THROUGHPUT if "jobs" in options.only else ()
    latency = LATENCY if "latency" in options.only else ()
    libraries = [name for name in (OURS, *PEERS) if any(c.library == name for c in (*throughput, *latency))] or [OURS]
    versions = {name: venvs.versions(name) for name in libraries}
    with server.running(options.server) as redis:
        run = Run(options.rounds or (1 if options.quick else 5), redis.version, versions)
        endpoints = (gateways.GATEWAY, gateways.BARE) if "pushes" in options.only else ()
        measure(run, redis, QUICK if options.quick else FULL, throughput, latency, endpoints)
    print(table(run, on))
    if options.json:
        options.json.write_text(json.dumps(plain(run, on), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
