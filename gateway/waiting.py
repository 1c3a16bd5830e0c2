"""Waiting for a job's end: one subscription wakes every request that waits in this process."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from gateway.http.errors import Problem, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.http.request import Call
    from workers.stream import JobView, Stream, Subscription

_NUMBER = re.compile(r"\d+(\.\d+)?([eE][+-]?\d+)?")  # JSON's, without a sign
_PREFERENCE = re.compile(r'\s*wait\s*=\s*("?)(\d{1,9})\1\s*(;.*)?', re.IGNORECASE)


def read_wait(call: Call, most_s: float) -> tuple[float, dict[str, str]]:
    """How many seconds the client would wait, and the headers that say what was made of its preference.

    `?wait=` must be a number from 0 to `most_s`, otherwise Problem 400. `Prefer: wait=N` (RFC 7240) is cut to
    `most_s`, and ignored where it is malformed or `?wait=` is there.
    """
    text = call.query.get("wait")
    if text is not None:
        if not _NUMBER.fullmatch(text) or not 0 <= float(text) <= most_s:
            raise Problem(400, f"wait must be a number of seconds from 0 to {most_s:g}")
        return float(text), {}
    if call.header(b"prefer") is None:
        return 0.0, {}
    for header in call.headers(b"prefer"):
        for preference in header.split(","):
            if match := _PREFERENCE.fullmatch(preference):
                wait_s = min(int(match[2]), int(most_s))
                return wait_s, {"Preference-Applied": f"wait={wait_s}"}
    return 0.0, {}


class Waiter:
    """One waiting request."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.bell = loop.create_future()
        self.is_late = False

    def expire(self) -> None:
        """The wait is over."""
        # Not found out by the clock: a timer may fire a little before its time.
        self.is_late = True
        self.ring()

    def ring(self, *_: object) -> None:
        """Lets it look at its job again."""
        if not self.bell.done():
            self.bell.set_result(None)


class Waiters:
    """The waiting requests of this process, at most `most` at a time."""

    def __init__(self, stream: Stream, most: int) -> None:
        self._stream = stream
        self._most = most
        self._by_job: dict[str, set[Waiter]] = {}
        self._closing = False
        self.count = 0

    def subscription(self) -> Subscription:
        """What has to run for the waiters to be woken."""
        return self._stream.ended(self._ended, self._ring_all)

    def close(self) -> None:
        """Answers all who wait with what there is, now and from now on."""
        self._closing = True
        self._ring_all()

    @contextlib.contextmanager
    def place(self) -> Iterator[Waiter]:
        """A place for one waiter. Raises Problem 503 if all are taken."""
        if self.count >= self._most:
            raise unavailable("too many requests wait already")
        self.count += 1
        try:
            yield Waiter(asyncio.get_running_loop())
        finally:
            self.count -= 1

    async def view(self, waiter: Waiter, call: Call, job_id: str, wait_s: float, with_result: bool) -> JobView | None:
        """The job's record once it has ended, or after `wait_s` seconds. Raises ClientDisconnect."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(wait_s, waiter.expire)
        disconnect = loop.create_task(call.disconnected())
        disconnect.add_done_callback(waiter.ring)
        self._by_job.setdefault(job_id, set()).add(waiter)
        try:
            while True:
                # The bell is set up before the look: an end in between rings it.
                waiter.bell = loop.create_future()
                view = await self._stream.view(job_id, with_result)
                if view is None or view.status.ended or self._closing or waiter.is_late:
                    return view
                await waiter.bell
                if disconnect.done():
                    raise ClientDisconnect
        finally:
            timer.cancel()
            disconnect.cancel()
            self._forget(job_id, waiter)

    def _forget(self, job_id: str, waiter: Waiter) -> None:
        waiters = self._by_job[job_id]
        waiters.discard(waiter)
        if not waiters:
            del self._by_job[job_id]

    def _ended(self, job_id: str) -> None:
        for waiter in self._by_job.get(job_id, ()):
            waiter.ring()

    def _ring_all(self) -> None:
        for waiters in self._by_job.values():
            for waiter in waiters:
                waiter.ring()
