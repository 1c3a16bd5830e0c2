"""Sends the load while parts are killed, and gathers what there is to say of it afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bench.faults.place import KINDS, PlaceError

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from bench.common.runs import Run
    from bench.faults.place import Fault, Kind, Place, Queue
    from bench.load.generator import Generator

_LOOK_S = 0.2


class Planned(NamedTuple):
    """A kill, in seconds since the load's begin."""

    at_s: float
    kind: Kind


def schedule(duration_s: float, every_s: float, servers: int, gateways: int, rng: random.Random) -> list[Planned]:
    """A worker about every `every_s` seconds; the server and the gateway so many times, spread evenly. In order."""
    planned = [Planned(duration_s * (i + 0.5) / servers, "server") for i in range(servers)]
    planned += [Planned(duration_s * (i + 0.5) / gateways, "gateway") for i in range(gateways)]
    at_s = 0.0
    while (at_s := at_s + every_s * rng.uniform(0.5, 1.5)) < duration_s:
        planned.append(Planned(at_s, "worker"))
    return sorted(planned)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known when all is over. `before` and `after` are the stream's numbers; None: it could not be read."""

    generator: Generator
    run: Run
    faults: Sequence[Fault]
    before: Queue
    after: Queue | None
    complaints: Sequence[str]


async def endure(
    place: Place, generator: Generator, planned: Sequence[Planned], rng: random.Random, patience_s: float
) -> Evidence:
    """Makes the run. The stream gets `patience_s` seconds to become empty. Raises PlaceError."""
    before = await place.queue()
    if before is None or not before.is_empty:
        raise PlaceError(f"jobs of somebody else are under way: {before}" if before else "the stream can't be read")
    faults: list[Fault] = []

    async def inflict(kind: Kind) -> None:
        for at_s in (one.at_s for one in planned if one.kind == kind):
            # In short steps: the clock begins anew with the load, and an interrupt ends the kills.
            while not generator.interrupted and (early_s := at_s - generator.clock()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(min(early_s, _LOOK_S))
            if generator.interrupted:
                return
            began_s = generator.clock()
            if fault := await place.inflict(kind, rng):
                faults.append(fault._replace(began_s=began_s, ended_s=generator.clock()))
                generator.events.append({"t_s": round(began_s, 3), "what": fault.what})

    try:
        # Kinds do not wait for each other: a worker may be killed while the server is away.
        async with asyncio.TaskGroup() as group:
            for kind in KINDS:
                group.create_task(inflict(kind))
            run = await generator.run()
    except ExceptionGroup as failed:
        generator.interrupt()
        raise failed.exceptions[0] from None
    run.events.sort(key=lambda event: float(event["t_s"]))
    faults.sort(key=lambda fault: fault.began_s)
    return Evidence(generator, run, faults, before, await _emptied(place, patience_s), await place.complaints())


async def _emptied(place: Place, patience_s: float) -> Queue | None:
    """The stream once nothing is outstanding, or after the patience whatever it is then."""
    queue = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            while queue is None or not queue.is_empty:
                queue = await place.queue() or queue
                await asyncio.sleep(_LOOK_S)
    return queue
