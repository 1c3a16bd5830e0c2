"""`python -m bench peers`: this project beside other libraries, ratios first, in one table.

    jobs       no-op jobs/s of one worker process, beside arq, SAQ, taskiq, streaQ and Celery
    pushes     pushes/s of one gateway process, beside FastAPI + Celery, and an endpoint that does nothing
    latency    time from enqueue to start on an idle worker
    memory     what the server holds of each waiting job, and what an idle worker takes

All programs run in every round, one after another, so that what the machine does besides strikes all alike.
Exit code: 0 if all was measured, whatever the figures; 1 if something could not be, with one sentence on stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bench.common import server
from bench.common.arguments import whole
from bench.common.processes import ROOT, BenchError
from bench.peers import gateways, memory, venvs, workers
from bench.peers.contenders import (
    ENDPOINTS,
    LATENCY,
    OTHER,
    RESIDENT,
    THROUGHPUT,
    WAITING,
    WAITING_BESIDES,
    beside_other,
)
from bench.peers.report import Run, machine, plain, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.peers.contenders import Contender, Endpoint

T = TypeVar("T")
KINDS = ("jobs", "pushes", "latency", "memory")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured in one round; `memory_rounds` because memory hardly varies, and takes long to fill."""

    jobs: int
    push_s: float
    trickled: int
    waiting: int
    memory_rounds: int
    connections: int = 64
    rate: float = 20.0


FULL = Sizes(jobs=50_000, push_s=4.0, trickled=60, waiting=100_000, memory_rounds=2)
QUICK = Sizes(jobs=20_000, push_s=2.0, trickled=20, waiting=20_000, memory_rounds=1)


@dataclass(frozen=True, slots=True)
class Field:
    """Who takes part."""

    throughput: Sequence[Contender] = ()
    endpoints: Sequence[Endpoint] = ()
    latency: Sequence[Contender] = ()
    waiting: Sequence[Contender] = ()
    resident: Sequence[Contender] = ()

    @property
    def libraries(self) -> list[str]:
        """Each once."""
        everybody: Sequence[Contender | Endpoint] = (
            *self.throughput,
            *self.endpoints,
            *self.latency,
            *self.waiting,
            *self.resident,
        )
        return list(dict.fromkeys(one.library for one in everybody))


def field(kinds: Sequence[str]) -> Field:
    """All that take part in these kinds of measurement."""
    return Field(
        throughput=THROUGHPUT if "jobs" in kinds else (),
        endpoints=ENDPOINTS if "pushes" in kinds else (),
        latency=LATENCY if "latency" in kinds else (),
        waiting=(*WAITING, *WAITING_BESIDES) if "memory" in kinds else (),
        resident=RESIDENT if "memory" in kinds else (),
    )


def against(who: Field, folder: Path) -> Field:
    """Of those that take part, ours alone, each beside the same of another checkout."""
    return Field(
        beside_other(who.throughput, folder),
        beside_other(who.endpoints, folder),
        beside_other(who.latency, folder),
        beside_other(who.waiting, folder),
        beside_other(who.resident, folder),
    )


@contextlib.contextmanager
def other_checkout(root: Path) -> Iterator[Path]:
    """A folder in which the other checkout's `gateway` and `workers` run as ours do: beside the `bench` of this one."""
    with tempfile.TemporaryDirectory(prefix="leadtime-peers-") as folder:
        for name, at in (("bench", ROOT), ("gateway", root), ("workers", root)):
            if not (at / name).is_dir():
                raise BenchError(f"{root} is no checkout of this project: it has no folder {name}")
            (Path(folder) / name).symlink_to((at / name).resolve())
        yield Path(folder)


def measure(run: Run, redis: server.BenchServer, sizes: Sizes, who: Field) -> None:
    """All rounds; adds the figures to `run`. Each round starts with another program. Raises BenchError."""
    run.waiting_jobs = sizes.waiting
    for number in range(run.rounds):
        for contender in _turned(who.throughput, number):
            drain = workers.throughput(contender, redis, sizes.jobs)
            run.jobs.setdefault(contender, []).append(drain)
            _say(number, contender.name, f"{drain.rate:,.0f} jobs/s")
        for endpoint in _turned(who.endpoints, number):
            found = gateways.pushes(endpoint, redis, sizes.push_s, sizes.connections)
            run.pushes.setdefault(endpoint, []).append(found)
            _say(number, endpoint.name, f"{found.rate:,.0f} pushes/s")
        for contender in _turned(who.latency, number):
            latencies_s = workers.latencies_s(contender, redis, sizes.trickled, sizes.rate)
            run.latencies_s.setdefault(contender, []).append(latencies_s)
            _say(number, contender.name, f"{1000 * sorted(latencies_s)[len(latencies_s) // 2]:.2f} ms to start")
        for contender in _turned(who.resident, number):
            resident_bytes = memory.resident_bytes(contender, redis)
            run.resident_bytes.setdefault(contender, []).append(resident_bytes)
            _say(number, contender.name, f"{resident_bytes / 1e6:.1f} MB of a worker")
        for contender in _turned(who.waiting, number) if number < sizes.memory_rounds else ():
            waiting_bytes = memory.waiting_bytes(contender, redis, sizes.waiting)
            run.waiting_bytes.setdefault(contender, []).append(waiting_bytes)
            _say(number, contender.name, f"{waiting_bytes / 10:.1f} MB for 100,000 waiting jobs")


def _turned(items: Sequence[T], by: int) -> list[T]:
    by %= max(1, len(items))
    return [*items[by:], *items[:by]]


def _say(number: int, name: str, text: str) -> None:
    print(f"round {number + 1}: {name}: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=whole(1), help="how often all is measured (default: 5, or 1 if quick)")
    parser.add_argument("--quick", action="store_true", help="one small round: a look, not a measurement")
    parser.add_argument("--only", choices=KINDS, nargs="+", default=KINDS, help="kinds to measure (default: all)")
    parser.add_argument(
        "--server", default="valkey", help="valkey (embedded, the default), or a program's name or path"
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="instead of other libraries, another checkout of this project, with this one's packages",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes all raw figures, too")
    options = parser.parse_args()
    try:
        _run(options)
    except (BenchError, OSError) as error:
        sys.exit(f"bench: {error}")


def _run(options: argparse.Namespace) -> None:
    on = machine()
    who = field(options.only)
    sizes = QUICK if options.quick else FULL
    with contextlib.ExitStack() as stack:
        if options.against:
            who = against(who, stack.enter_context(other_checkout(options.against)))
        versions = {name: venvs.versions(name) for name in who.libraries if name != OTHER}
        redis = stack.enter_context(server.running(options.server))
        run = Run(options.rounds or (1 if options.quick else 5), redis.version, versions=versions)
        run.other = str(options.against or "")
        measure(run, redis, sizes, who)
    print(table(run, on))
    if options.json:
        options.json.write_text(json.dumps(plain(run, on), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
