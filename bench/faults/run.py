"""Sends the load while parts are killed, and gathers what there is to say of it afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bench.faults.place import Fault, PlaceError, Queue
from bench.faults.schedule import KINDS

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from bench.common.runs import Run
    from bench.faults.place import Place
    from bench.faults.schedule import Planned
    from bench.load.generator import Generator

_LOOK_S = 0.2


class Inflicted(NamedTuple):
    """A fault, and from when to when it lasted: seconds since the run's begin."""

    began_s: float
    ended_s: float
    fault: Fault


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known when all is over. `before` and `after` are the stream's numbers; None: it could not be read."""

    generator: Generator
    run: Run
    inflicted: Sequence[Inflicted]
    before: Queue
    after: Queue | None
    complaints: Sequence[str]


async def endure(
    place: Place, generator: Generator, planned: Sequence[Planned], rng: random.Random, patience_s: float
) -> Evidence:
    """The whole of it. The stream gets `patience_s` seconds to become empty. Raises PlaceError."""
    before = await place.queue()
    if before is None or not before.is_empty:
        raise PlaceError(f"jobs of somebody else are under way: {before}" if before else "the stream can't be read")
    inflicted: list[Inflicted] = []

    async def inflict(own: Sequence[Planned]) -> None:
        for one in own:
            await _reached(generator, one.at_s)
            if generator.interrupted:
                return
            began_s = generator.clock()
            fault = await place.inflict(one.kind, rng)
            if fault is not None:
                inflicted.append(Inflicted(began_s, generator.clock(), fault))
                generator.events.append({"t_s": round(began_s, 3), "what": fault.what})

    # Kinds do not wait for each other: a worker may be killed while the server is away.
    tasks = [asyncio.create_task(inflict([one for one in planned if one.kind == kind])) for kind in KINDS]
    failed = asyncio.create_task(_stop_on_failure(tasks, generator))
    try:
        run = await generator.run()
        await asyncio.gather(*tasks)
        run.events.sort(key=lambda event: float(event["t_s"]))
    finally:
        for task in (failed, *tasks):
            task.cancel()
        await asyncio.wait([failed, *tasks])
    return Evidence(
        generator, run, sorted(inflicted), before, await _emptied(place, patience_s), await place.complaints()
    )


async def _reached(generator: Generator, at_s: float) -> None:
    """Returns at that time of the run, or at its interrupt."""
    # In short steps: the clock begins anew with the load.
    while not generator.interrupted and (early_s := at_s - generator.clock()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(min(early_s, _LOOK_S))


async def _stop_on_failure(tasks: Sequence[asyncio.Task[None]], generator: Generator) -> None:
    """Ends the load at once if something can't be killed or does not come back."""
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    if any(task.done() and not task.cancelled() and task.exception() for task in tasks):
        generator.interrupt()
        generator.interrupt()


async def _emptied(place: Place, patience_s: float) -> Queue | None:
    """The stream once nothing is outstanding, or after the patience whatever it is then."""
    queue = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            while queue is None or not queue.is_empty:
                queue = await place.queue() or queue
                await asyncio.sleep(_LOOK_S)
    return queue
