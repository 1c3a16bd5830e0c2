"""All rounds along one axis: the queues of all its sizes are there at once, and each round goes through them."""

from __future__ import annotations

import contextlib
import resource
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.common.processes import BenchError
from bench.growth.cells import Axis, Cell, cell
from bench.growth.cycle import cycle
from bench.growth.wakeups import Pace, Wakeups, pace, wakeups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.growth.meter import Cost

# Cycles with one queue before it is the next one's turn: in a fraction of a second, so that whatever else the
# machine does strikes all sizes alike. The first of them finds cold caches and does not count.
_BLOCK = 10
_FILES_BESIDE = 200


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured in each round, for each size of an axis."""

    rounds: int
    cycles: int
    pushes: int
    pace_s: float


@dataclass(slots=True)
class Found:
    """Along one axis, on one server: by operation and size, one figure a round."""

    axis: Axis
    server: str = ""
    costs: dict[str, dict[int, list[Cost]]] = field(default_factory=dict)
    wakeups: dict[int, list[Wakeups]] = field(default_factory=dict)
    pace: dict[int, list[Pace]] = field(default_factory=dict)


def raise_limits(axes: Sequence[Axis]) -> None:
    """Two connections a worker, on both ends. Raises BenchError if the system allows fewer files."""
    workers = [sum(axis.sizes) for axis in axes if axis.name in ("idle", "busy")]
    needed = _FILES_BESIDE + 2 * max(workers, default=0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise BenchError(f"so many workers need {needed} open files, and the system allows {hard} (`ulimit -Hn`)")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


async def measure(axis: Axis, server_name: str, sizes: Sizes) -> Found:
    """Raises BenchError."""
    found = Found(axis)
    async with contextlib.AsyncExitStack() as stack:
        cells = []
        for size in axis.sizes:
            say(f"{axis.name}: making a queue with {size:,} {axis.what}")
            cells.append(await stack.enter_async_context(cell(axis, size, server_name)))
        found.server = cells[0].server.version
        for number in range(sizes.rounds):
            await _round(found, cells, sizes)
            say(f"{axis.name}: round {number + 1} of {sizes.rounds} is done")
    return found


async def _round(found: Found, cells: Sequence[Cell], sizes: Sizes) -> None:
    for block in range(max(1, sizes.cycles // _BLOCK)):
        by = block % len(cells)
        for one in (*cells[by:], *cells[:by]):
            one.meter.muted = True
            await cycle(one)
            one.meter.muted = False
            for _ in range(min(_BLOCK, sizes.cycles)):
                await cycle(one)
    for one in cells:
        for operation, cost in one.meter.take().items():
            found.costs.setdefault(operation, {}).setdefault(one.size, []).append(cost)
        if one.axis.name == "idle":
            found.wakeups.setdefault(one.size, []).append(await wakeups(one, sizes.pushes))
            found.pace.setdefault(one.size, []).append(await pace(one, sizes.pace_s))


def say(text: str) -> None:
    """On standard error: how far it is."""
    print(text, file=sys.stderr, flush=True)
