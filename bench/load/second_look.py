"""A second look at the results, once the load is over: a result, once published, must never change."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from bench.load.account import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.load.account import Account, Job
    from bench.load.client import Client

_AT_ONCE = 16
_TRIES = 10
_PAUSE_S = 0.5


class SecondLook:
    """Fetches the data of all that finished again. `done` and `unanswered` count jobs."""

    def __init__(self, client: Client, account: Account) -> None:
        self._client = client
        self._account = account
        self.jobs: Sequence[Job] = [job for job in account.jobs if job.outcome == "finished"]
        self.done = 0
        self.unanswered = 0

    async def take(self) -> None:
        """All of them, some at a time."""
        rest = iter(self.jobs)

        async def work() -> None:
            for job in rest:
                await self._look(job)
                self.done += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(work())

    async def _look(self, job: Job) -> None:
        for _ in range(_TRIES):
            answer = await self._client.get(f"/data/{job.id}")
            if answer.status == 200:
                if digest(answer.body) != job.digest:
                    self._account.change(job, "duplicated")
                return
            if answer.status == 404:
                self._account.change(job, "lost")
                return
            await asyncio.sleep(_PAUSE_S * random.uniform(0.5, 1.5))
        self.unanswered += 1
