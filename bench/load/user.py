"""One simulated user: pushes, waits for the end, fetches the data, checks it."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import orjson

from bench.load.account import Job, digest

if TYPE_CHECKING:
    from bench.load.account import Account
    from bench.load.client import Answer, Client
    from bench.load.clock import Clock
    from bench.load.inputs import Inputs
    from bench.load.plan import Plan

WAIT_S = 30.0
# As the client of the system that this one follows.
MOST_POLLS = 60
_PAUSES_S = (0.1, 2.0)
_ENDINGS = ("finished", "failed", "cancelled")


class Users:
    """What all users of a run share. Pauses before a repeated request are random: they need no seed."""

    def __init__(self, plan: Plan, client: Client, clock: Clock, account: Account, inputs: Inputs, run_id: str) -> None:
        self._plan = plan
        self._client = client
        self._clock = clock
        self._account = account
        self._inputs = inputs
        self._run_id = run_id

    async def live(self, job: Job) -> None:
        """One user's life. It ends with the job's outcome in the account, unless it is cancelled."""
        body = self._inputs.body(job.number, job.service_s)
        await self._push(job, body)
        if job.outcome:
            return
        if self._plan.push_only:
            self._end(job, "accepted")
            return
        if self._plan.poll_s is None:
            await self._wait(job)
        else:
            await self._poll(job, self._plan.poll_s)
        if not job.outcome:
            await self._fetch(job, body)

    def _end(self, job: Job, outcome: str) -> None:
        self._account.end(job, outcome, self._clock())

    async def _push(self, job: Job, body: bytes) -> None:
        """Returns with the job's id, or its outcome."""
        key = f"{self._run_id}-{job.number}"
        pauses = _Pauses()
        job.sent_s = self._clock()
        self._account.sent += 1
        while True:
            answer = await self._client.push(body, key)
            if not answer.is_none and not (self._plan.persist and answer.status == 503):
                break
            await self._trouble("push", answer, pauses)
        job_id = answer.document().get("id") if answer.status == 202 else None
        if not isinstance(job_id, str):
            job.status_code = answer.status
            self._end(job, "refused")
            return
        job.id = job_id
        job.accepted_s = self._clock()
        self._account.accepted += 1
        if self._account.knows(job_id):
            self._end(job, "duplicated")

    async def _wait(self, job: Job) -> None:
        """Long polls until the job has ended."""
        pauses = _Pauses()
        while True:
            asked_s = self._clock()
            answer = await self._client.get(f"/status/{job.id}", WAIT_S)
            if not await self._heard(job, answer, pauses):
                return
            if answer.status == 200 and self._clock() - asked_s < 1:
                # A gateway that stops answers all who wait at once; another one will take the next.
                await pauses.take()

    async def _poll(self, job: Job, every_s: float) -> None:
        """Asks as the old client does: a pause before each of so many looks."""
        pauses = _Pauses()
        for _ in range(MOST_POLLS):
            await asyncio.sleep(every_s)
            answer = await self._client.get(f"/status/{job.id}")
            if not await self._heard(job, answer, pauses):
                return
        self._end(job, "given up")

    async def _heard(self, job: Job, answer: Answer, pauses: _Pauses) -> bool:
        """Takes note of a status document. False: the job has finished, or has an outcome now."""
        if answer.status == 404:
            self._end(job, "lost")
            return False
        if answer.status != 200:
            await self._trouble("status", answer, pauses)
            return True
        document = answer.document()
        status, attempts = document.get("status"), document.get("attempts")
        job.last = str(status)
        job.queued_s = self._clock.read(document.get("queued"))
        if status not in _ENDINGS:
            return True
        job.attempts = attempts if isinstance(attempts, int) else None
        job.started_s = self._clock.read(document.get("started"))
        job.finished_s = self._clock.read(document.get("finished"))
        if status != "finished":
            self._end(job, job.last)
        return False

    async def _fetch(self, job: Job, body: bytes) -> None:
        """Fetches the data of a finished job, and checks it."""
        pauses = _Pauses()
        while True:
            answer = await self._client.get(f"/data/{job.id}")
            if answer.status in (200, 404):
                break
            await self._trouble("data", answer, pauses)
        if answer.status == 404:
            self._end(job, "lost")
        elif self._is_own(job, answer, body):
            job.digest = digest(answer.body)
            self._end(job, "finished")
        else:
            self._account.strange += 1
            self._end(job, "failed")

    def _is_own(self, job: Job, answer: Answer, body: bytes) -> bool:
        document = answer.document()
        if document.get("id") != job.id or "output" not in document:
            return False
        # It is null where a model returns anything but an output with its input.
        returned = document.get("input")
        return not self._plan.check_input or returned is None or bool(returned == orjson.loads(body))

    async def _trouble(self, what: str, answer: Answer, pauses: _Pauses) -> None:
        self._account.troubles[f"{what}: {answer.what}"] += 1
        await pauses.take(answer.retry_after_s)


class _Pauses:
    """Pauses before the same request is made again: they grow, and vary so that not all users come at once."""

    def __init__(self) -> None:
        self._next_s = _PAUSES_S[0]

    async def take(self, asked_for_s: float | None = None) -> None:
        """One pause; `asked_for_s` is what the service asks for."""
        pause_s = asked_for_s or self._next_s
        self._next_s = min(2 * self._next_s, _PAUSES_S[1])
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))
