"""One simulated user: pushes, waits for the end, fetches the data, checks it."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import TYPE_CHECKING, Any

import orjson

from bench.load.account import digest

if TYPE_CHECKING:
    from bench.load.account import Account, RunClock, UserJob
    from bench.load.client import ServiceAnswer, ServiceClient
    from bench.load.plan import LoadPlan

WAIT_S = 30.0
# As the client of the system that this one follows.
MOST_POLLS = 60
_PAUSES_S = (0.1, 2.0)


class Users:
    """What all users of a run share; one call of `live` is one user."""

    def __init__(self, plan: LoadPlan, client: ServiceClient, clock: RunClock, account: Account) -> None:
        self._plan = plan
        self._client = client
        self._clock = clock
        self._account = account
        self._ids: set[str] = set()  # of all jobs

    async def live(self, job: UserJob, body: bytes, key: str) -> None:
        """One user's life. At its end the account has the job's outcome, unless the user is cancelled."""
        await self._push(job, body, key)
        if not job.outcome and self._plan.push_only:
            self._end(job, "accepted")
        if not job.outcome:
            await self._wait(job, self._plan.poll_s)
        if not job.outcome:
            await self._fetch(job, body)

    def _end(self, job: UserJob, outcome: str) -> None:
        self._account.end(job, outcome, self._clock())

    async def _push(self, job: UserJob, body: bytes, key: str) -> None:
        """Returns once the job has an id or an outcome."""
        pauses = _Pauses()
        job.sent_s = self._clock()
        self._account.sent += 1
        while True:
            answer = await self._client.push(body, key, self._plan.queue)
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
        if job_id in self._ids:
            self._end(job, "duplicated")
        self._ids.add(job_id)

    async def _wait(self, job: UserJob, poll_s: float | None) -> None:
        """Returns once the job has finished or has an outcome; with `poll_s` it gives up after MOST_POLLS."""
        pauses = _Pauses()
        for _ in itertools.count() if poll_s is None else range(MOST_POLLS):
            await asyncio.sleep(poll_s or 0)
            asked_s = self._clock()
            answer = await self._client.get(f"/status/{job.id}", WAIT_S if poll_s is None else 0)
            if answer.status == 404:
                self._end(job, "lost")
                return
            if answer.status != 200:
                await self._trouble("status", answer, pauses)
            elif self._has_ended(job, answer.document()):
                return
            elif poll_s is None and self._clock() - asked_s < 1:
                # A gateway that stops answers all waiting requests at once; another one will take the next.
                await pauses.take()
        self._end(job, "given up")

    def _has_ended(self, job: UserJob, document: dict[str, Any]) -> bool:
        """Takes note of a status document."""
        job.last = str(document.get("status"))
        if job.last not in ("finished", "failed", "cancelled"):
            return False
        attempts = document.get("attempts")
        job.attempts = attempts if isinstance(attempts, int) else None
        job.started_s = self._clock.read(document.get("started"))
        job.finished_s = self._clock.read(document.get("finished"))
        if job.last != "finished":
            self._end(job, job.last)
        return True

    async def _fetch(self, job: UserJob, body: bytes) -> None:
        """Fetches the data of a finished job, and checks it."""
        answer = await self._data(job)
        if answer.status == 404:
            self._end(job, "lost")
        elif self._is_own(job, answer.document(), body):
            job.digest = digest(answer.body)
            self._end(job, "finished")
        else:
            self._account.strange += 1
            self._end(job, "failed")

    def _is_own(self, job: UserJob, document: dict[str, Any], body: bytes) -> bool:
        # A model may return an `id` of its own: the service's is in `_job` then.
        if document.get("_job", document).get("id") != job.id:
            return False
        # The service says null if the model returned no input with its output.
        returned = document.get("input")
        return not self._plan.check_input or returned is None or bool(returned == orjson.loads(body))

    async def look_again(self, job: UserJob) -> None:
        """Fetches a finished job's data once more: a result, once published, never changes."""
        answer = await self._data(job)
        if answer.status == 404:
            self._account.change(job, "lost")
        elif digest(answer.body) != job.digest:
            self._account.change(job, "duplicated")
        self._account.unchecked -= 1

    async def _data(self, job: UserJob) -> ServiceAnswer:
        """Asks until the answer is 200 or 404."""
        pauses = _Pauses()
        while (answer := await self._client.get(f"/data/{job.id}")).status not in (200, 404):
            await self._trouble("data", answer, pauses)
        return answer

    async def _trouble(self, what: str, answer: ServiceAnswer, pauses: _Pauses) -> None:
        self._account.troubles[f"{what}: {answer.error or f'HTTP {answer.status}'}"] += 1
        await pauses.take()


class _Pauses:
    """Pauses before the same request is made again: each longer, and random so that not all users come at once."""

    def __init__(self) -> None:
        self._next_s = _PAUSES_S[0]

    async def take(self) -> None:
        """Makes one pause."""
        pause_s = self._next_s * random.uniform(0.5, 1.5)
        self._next_s = min(2 * self._next_s, _PAUSES_S[1])
        await asyncio.sleep(pause_s)
