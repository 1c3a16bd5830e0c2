"""Clients that load a fleet while its parts are killed."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Coroutine

    from tests.fleet.fleet import RecordedFleet

SEED = 20
CLIENTS = 100  # each pushes a job, waits for its result, and goes on to the next
WORKERS = 4
LEASE_S = 2.0
DEADLINE_S = 300.0


@dataclass
class KillLoad:
    """What the clients of so many `jobs` did: ids by input as acknowledged, and what `/data` first showed by id."""

    jobs: int
    acknowledged: dict[str, str] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    progress: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def ended(self, job_id: str, result: dict[str, Any]) -> None:
        """A client has seen this."""
        self.results[job_id] = result
        async with self.progress:
            self.progress.notify_all()

    async def reached(self, share: float) -> None:
        """Returns when this share of all jobs has its results."""
        async with self.progress:
            await self.progress.wait_for(lambda: len(self.results) >= share * self.jobs)

    async def under_kills(
        self, fleet: RecordedFleet, rng: random.Random, *work: Coroutine[Any, Any, None], deadline_s: float = DEADLINE_S
    ) -> None:
        """Does all this work while workers are killed. A failure is an AssertionError, with an account of the jobs."""
        try:
            async with kills_of_workers(fleet, rng), asyncio.timeout(deadline_s), asyncio.TaskGroup() as group:
                for one in work:
                    group.create_task(one)
        except (TimeoutError, ExceptionGroup) as error:
            first = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            raise AssertionError(f"{first!r}\n{await self._unexplained(fleet)}") from error

    async def _unexplained(self, fleet: RecordedFleet) -> str:
        missing = [job_id for job_id in self.acknowledged.values() if job_id not in self.results]
        lines = [f"seed {SEED}; {len(self.acknowledged)} pushes acknowledged, {len(self.results)} results"]
        try:
            lines.append(f"{await fleet.stream.counts()}")
            views = await fleet.stream.view_many([(job_id, False) for job_id in missing[:20]])
            lines += [f"{job_id}: {view or 'unknown'}" for job_id, view in zip(missing, views, strict=False)]
        except Exception as error:  # noqa: BLE001
            lines.append(f"the server can't be asked: {error!r}")
        return "\n".join([*lines, fleet.account()])


@contextlib.asynccontextmanager
async def kills_of_workers(fleet: RecordedFleet, rng: random.Random) -> AsyncIterator[None]:
    """Kills one of the workers at random a bit more often than once a second, and starts another."""
    killing = asyncio.create_task(_kill_workers(fleet, rng))
    try:
        yield
    finally:
        killing.cancel()
        await asyncio.wait([killing])
    assert killing.cancelled(), killing.exception()


async def _kill_workers(fleet: RecordedFleet, rng: random.Random) -> None:
    while True:
        await asyncio.sleep(rng.uniform(0.4, 1.2))
        while not fleet.ready_workers():  # noqa: ASYNC110 - or the kills alone could use up a slow machine's time
            await asyncio.sleep(0.1)
        fleet.kill_worker(rng.choice(fleet.workers))
        fleet.start_worker()
