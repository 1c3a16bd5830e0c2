"""Sends what jobs tell while they run to the stream: many jobs' events share a round trip.

The first event leaves at once. Those that come during its round trip leave together when it is over. A model never
waits for the server: what is not delivered yet is kept here, and of that only what the job's stream would keep (the
last `max_events`, up to `max_events_bytes`), and the last progress alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from workers.stream import Telling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.worker.session import Session

logger = logging.getLogger(__name__)

# Of one call to the server. 500 events keep it busy for about a millisecond.
MOST_EVENTS = 500
MOST_BYTES = 1_048_576
_LOG_EVERY_S = 10.0


class Events:
    """What the attempts of one worker tell."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._outboxes: dict[tuple[str, int], Outbox] = {}
        self._waiting: dict[Outbox, None] = {}  # those with something to send, in their order
        self._unregistered: dict[tuple[str, int], Outbox | None] = {}
        self._let_go = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._logged_s = -_LOG_EVERY_S

    @property
    def are_kept(self) -> bool:
        """Whether anything is sent at all."""
        return self._session.settings.max_events > 0

    def tell(self, job_id: str, attempt: int, kind: str, value: bytes) -> None:
        """Queues an event of an attempt: its kind, and its value as JSON. Never waits and never raises."""
        outbox = self._outboxes.get((job_id, attempt))
        if outbox is None:
            settings = self._session.settings
            outbox = Outbox(job_id, attempt, settings.max_events, settings.max_events_bytes)
            self._outboxes[job_id, attempt] = outbox
        outbox.add(kind, value)
        if (job_id, attempt) in self._unregistered:
            self._unregistered[job_id, attempt] = outbox
        else:
            self._send_soon(outbox)

    def hold_back(self, job_id: str, attempt: int) -> None:
        """The server does not know yet that this attempt has begun, and would refuse its events."""
        self._unregistered[job_id, attempt] = None

    def let_go(self, job_id: str, attempt: int) -> None:
        """Now it knows."""
        outbox = self._unregistered.pop((job_id, attempt), None)
        self._let_go.set()
        if outbox is not None:
            self._send_soon(outbox)

    def is_registered(self, job_id: str, attempt: int) -> bool:
        """Whether the server knows that this attempt has begun."""
        return (job_id, attempt) not in self._unregistered

    async def until_registered(self, job_id: str, attempt: int) -> None:
        """Returns once it does: until then it takes neither a retry nor a hand-back of it."""
        while not self.is_registered(job_id, attempt):
            self._let_go.clear()
            await self._let_go.wait()

    def _send_soon(self, outbox: Outbox) -> None:
        self._waiting[outbox] = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._send_all(), name="events")

    def take(self, job_id: str, attempt: int) -> Outbox | None:
        """What an attempt that is over has told; None if that is nothing."""
        return self._outboxes.pop((job_id, attempt), None)

    async def close(self) -> None:
        """Gives up what has not been delivered."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                sent = self._next()
                await self._send([telling for _, telling in sent])
                for outbox, _ in sent:
                    outbox.on_sent(outbox in self._waiting)
        finally:
            self._task = None
            for outbox in self._waiting:
                outbox.close()
            self._waiting.clear()

    def _next(self) -> list[tuple[Outbox, Telling]]:
        """Takes the next events of each outbox in turn, as many as fit into one call."""
        sent: list[tuple[Outbox, Telling]] = []
        events, size_bytes = MOST_EVENTS, MOST_BYTES
        for outbox in list(self._waiting):
            del self._waiting[outbox]
            telling = outbox.take(events, size_bytes)
            if telling.events:
                sent.append((outbox, telling))
            if outbox.is_filled:
                self._waiting[outbox] = None  # at the end: the others go first
            events -= len(telling.events)
            size_bytes -= telling.size_bytes
            if events <= 0 or size_bytes <= 0:
                break
        return sent

    async def _send(self, tellings: Sequence[Telling]) -> None:
        session = self._session
        try:
            if tellings:
                await session.outage.call(lambda: session.stream.tell(session.id, tellings), "sending events")
        except Exception as error:  # noqa: BLE001 - such as a server that is full: jobs go on without
            now_s = time.monotonic()
            if now_s - self._logged_s >= _LOG_EVERY_S:
                self._logged_s = now_s
                logger.warning("events of %d jobs are lost, the server refuses them: %s", len(tellings), error)


class Outbox:
    """What one attempt has told and the server has not got."""

    def __init__(self, job_id: str, attempt: int, most: int, most_bytes: int) -> None:
        self._job_id = job_id
        self._attempt = attempt
        self._most = most
        self._most_bytes = most_bytes
        self._queued: deque[tuple[str, bytes]] = deque()
        self._size_bytes = 0
        self._progress: bytes | None = None
        self._number = 1  # of the next event that is sent
        self._is_sending = False
        self._delivered: asyncio.Future[None] | None = None

    @property
    def is_filled(self) -> bool:
        """Whether there is something to send."""
        return bool(self._queued) or self._progress is not None

    def add(self, kind: str, value: bytes) -> None:
        """Queues an event. Of more than the stream keeps, the oldest go; an older progress goes in any case."""
        if kind == "progress":
            self._progress = value
            return
        self._queued.append((kind, value))
        self._size_bytes += len(value)
        while len(self._queued) > self._most or (self._size_bytes > self._most_bytes and len(self._queued) > 1):
            self._size_bytes -= len(self._queued.popleft()[1])
            self._number += 1  # the gap tells that it was not kept

    def take(self, most: int, most_bytes: int) -> Telling:
        """The next events, at most so many, and no more than it takes to reach `most_bytes`."""
        events: list[tuple[str, bytes]] = []
        while self._queued and len(events) < most and most_bytes > 0:
            event = self._queued.popleft()
            self._size_bytes -= len(event[1])
            most_bytes -= len(event[1])
            events.append(event)
        if self._progress is not None and len(events) < most:
            events.append(("progress", self._progress))
            self._progress = None
        first, self._number = self._number, self._number + len(events)
        self._is_sending = bool(events)
        return Telling(self._job_id, self._attempt, first, events)

    def on_sent(self, has_more: bool) -> None:
        """The server has got what was taken, or will never get it."""
        self._is_sending = False
        if not has_more:
            self.close()

    def close(self) -> None:
        """Nothing more will be sent of what was queued."""
        self._is_sending = False
        self._queued.clear()
        if self._delivered is not None and not self._delivered.done():
            self._delivered.set_result(None)

    async def delivered(self) -> None:
        """Returns once the server has got all of it, or never will."""
        if self.is_filled or self._is_sending:
            self._delivered = asyncio.get_running_loop().create_future()
            await self._delivered
