"""Waiting for a job's end: one subscription wakes every request that waits in this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from gateway.http.errors import Problem, unavailable
from gateway.http.request import NUMBER, HttpRequest
from gateway.waits.ends import RecentEnds
from gateway.waits.hearing import BatchEars
from gateway.waits.heartbeat import SignsOfLife
from gateway.waits.in_step import InStep
from workers.stream import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.stream import JobView, Stream, Subscription

_PREFERENCE = re.compile(r'\s*wait\s*=\s*("?)([0-9]{1,9})\1\s*(;.*)?', re.IGNORECASE)


def read_wait(request: HttpRequest, most_s: float) -> tuple[float, dict[str, str]]:
    """How many seconds the client wants to wait, and headers that say which preference was applied.

    `?wait=` must be a number from 0 to `most_s`; otherwise raises Problem 400. `Prefer: wait=N` (RFC 7240) is cut to
    `most_s`. It is ignored if it is malformed, or if there is a `?wait=`.
    """
    text = request.query.get("wait")
    if text is not None:
        if not NUMBER.fullmatch(text) or not 0 <= float(text) <= most_s:
            raise Problem(400, f"wait must be a number of seconds from 0 to {most_s:g}", parameters=["wait"])
        return float(text), {}
    if request.header(b"prefer") is None:
        return 0.0, {}
    for header in request.headers(b"prefer"):
        for preference in header.split(","):
            if match := _PREFERENCE.fullmatch(preference):
                wait_s = min(int(match[2]), int(most_s))
                return wait_s, {"Preference-Applied": f"wait={wait_s}"}
    return 0.0, {}


class Waiter:
    """One waiting request. Its `bell` is rung when it should look at its job again.

    `answer` is the ended job, if its end was sent to the gateway at which its push waits. One that `is_quiet` has had
    no news for long (`SignsOfLife`).
    """

    __slots__ = ("answer", "bell", "is_late", "is_quiet")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.bell = loop.create_future()
        self.is_late = self.is_quiet = False
        self.answer: JobView | None = None

    def expire(self) -> None:
        """Ends the wait: the next look is the last."""
        # `view` asks this flag and not the clock, because a timer may fire a little early.
        self.is_late = True
        self.ring()

    def ring(self, *_: object) -> None:
        """Wakes the request, so that it looks at its job again."""
        if not self.bell.done():
            self.bell.set_result(None)


class Bells:
    """The waiters of one kind of news, by the job that it is about."""

    def __init__(self) -> None:
        self._by_job: dict[str, set[Waiter]] = {}

    @contextlib.contextmanager
    def listening(self, waiter: Waiter, job_id: str) -> Iterator[None]:
        """Rings the waiter's bell when there is news of the job."""
        self._by_job.setdefault(job_id, set()).add(waiter)
        try:
            yield
        finally:
            waiters = self._by_job.get(job_id, set())
            waiters.discard(waiter)
            if not waiters:
                self._by_job.pop(job_id, None)

    def ring(self, job_id: str) -> None:
        """There is news of the job."""
        for waiter in self._by_job.get(job_id, ()):
            waiter.ring()

    def answer(self, view: JobView) -> None:
        """The job has ended, and this is its record."""
        for waiter in self._by_job.get(view.id, ()):
            waiter.answer = view
            waiter.ring()

    def ring_all(self) -> None:
        """There may be news of any job."""
        for waiters in self._by_job.values():
            for waiter in waiters:
                waiter.ring()


class WaitersPlace:
    """The place of one waiter; as a context, the waiter itself."""

    __slots__ = ("_waiters", "waiter")

    def __init__(self, waiters: Waiters) -> None:
        self._waiters: Waiters | None = waiters
        self.waiter = Waiter(asyncio.get_running_loop())

    def close(self) -> None:
        """Gives it back; again: no effect."""
        if self._waiters is not None:
            self._waiters.count -= 1
            self._waiters = None

    def __enter__(self) -> Waiter:
        return self.waiter

    def __exit__(self, *_: object) -> None:
        self.close()


class Waiters:
    """The waiting requests of this process: at most `most` at a time, `count` now.

    `ended` rings when a job has ended, `told` when it has told something; `batches` hears of the ends of their jobs.
    `heartbeat` tells who has been quiet for long, `recent` counts all ends, and `in_step` gathers pushes that wait.
    `name` is what a push gives as `waits_at`.
    """

    def __init__(self, stream: Stream, most: int) -> None:
        self._stream = stream
        self._most = most
        self.name = f"{LIBRARY}:{os.urandom(8).hex()}"
        self.ended = Bells()
        self.told = Bells()
        self.batches = BatchEars()
        self.heartbeat = SignsOfLife()
        self.recent = RecentEnds()
        self.in_step = InStep(stream.pushes)
        stream.pushes.gather = self.in_step.gather
        self.closing = False
        self.count = 0

    def subscriptions(self) -> list[Subscription]:
        """The subscriptions to news of jobs. They must run, or no waiter is woken."""
        stream = self._stream
        return [
            stream.ended(self._tell_end, self._ring_for_ends, self.name, self.ended.answer),
            stream.told(self.told.ring, self.told.ring_all),
        ]

    def close(self) -> None:
        """Ends all waits, also those that begin later: each request is answered with its job as it is."""
        self.closing = True
        self._ring_for_ends()

    def _tell_end(self, job_id: str) -> None:
        self.ended.ring(job_id)
        self.batches.tell(job_id)
        self.recent.heard(job_id)

    def _ring_for_ends(self) -> None:
        self.ended.ring_all()
        self.batches.ring_all()

    def place(self) -> WaitersPlace:
        """Reserves a place for one waiter, until it is closed. Raises Problem 503 if all are taken."""
        if self.count >= self._most:
            raise unavailable("too many requests wait already")
        self.count += 1
        return WaitersPlace(self)

    async def view(
        self, waiter: Waiter, request: HttpRequest, job_id: str, wait_s: float, with_result: bool, is_new: bool = False
    ) -> JobView | None:
        """The job's record once it has ended, or after `wait_s` seconds. Raises ClientDisconnect.

        With its result if that is small (see `view_small`) and wanted. A job that `is_new` was pushed while the waiter
        was listening, so that the first look at it can wait for the bell, and is not needed if the bell came with the
        answer. Only then an answer counts: it is the pusher's own job.
        """
        loop = asyncio.get_running_loop()
        timer = loop.call_later(wait_s, waiter.expire)
        request.on_leave(waiter.ring)
        if request.has_left:
            waiter.ring()
        try:
            with self.ended.listening(waiter, job_id):
                while True:
                    if not is_new or self.closing:
                        # The bell comes first. If the job ends after the look, its message finds a bell to ring.
                        waiter.bell = loop.create_future()
                        view = await (self._stream.view_small(job_id) if with_result else self._stream.view(job_id))
                        if view is None or view.status.ended or self.closing or waiter.is_late:
                            return view
                    await waiter.bell
                    if request.gone:
                        raise ClientDisconnect
                    waiter.is_late |= request.half_closed
                    if is_new and waiter.answer is not None:
                        return waiter.answer
                    is_new = False
        finally:
            timer.cancel()
