"""Renews a worker's leases and its registration, so that the server knows that it lives and which jobs it has."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from workers.stream import Registered
    from workers.worker.schema import ModelSchema
    from workers.worker.session import Session

    # An id and an attempt that are not the worker's any more.
    OnLost = Callable[[str, int], None]

T = TypeVar("T")

BEATS_IN_A_LEASE = 3
# A registration outlives three missed beats by a little.
_BEATS_TO_EXPIRY = 3.5
_CALLS_OF_SLACK = 5
# With so many workers an idle one rests for a beat before it registers again, with twice as many for two beats; its
# registration then outlives two missed beats. So a thousand idle workers make 33 calls a second.
_MANY_WORKERS = 400
_MOST_RESTS = 2


class Heartbeat:
    """Beats three times a lease, and at once when the worker's life has news.

    Each beat registers what `registration` says, and renews the leases of the jobs (id, attempt) that `held` names;
    `on_lost` is called for each that the server says is not this worker's any more. `on_registered` is told each
    answer. If the server lacks the schema that is registered, `schema` is published.
    """

    def __init__(
        self,
        session: Session,
        registration: Callable[[], Mapping[str, str | int]],
        held: Callable[[], list[tuple[str, int]]],
        on_lost: OnLost,
        schema: Callable[[], ModelSchema],
        on_registered: Callable[[Registered], None],
    ) -> None:
        self._session = session
        self._registration = registration
        self._held = held
        self._on_lost = on_lost
        self._schema = schema
        self._on_registered = on_registered
        self._lease_s = session.settings.lease_s
        self._turned_s = time.monotonic()
        self._workers = 0
        self._rests = 0  # how many beats it may rest, as its registration lasts for longer

    @property
    def interval_s(self) -> float:
        """Seconds between two beats."""
        return self._lease_s / BEATS_IN_A_LEASE

    @property
    def age_s(self) -> float:
        """Seconds since the heartbeat last did something, be it that it found the server unavailable."""
        return time.monotonic() - self._turned_s

    @property
    def limit_s(self) -> float:
        """The age at which the heartbeat is stuck: one lease (three beats), and the time that some calls may take.

        By then the leases have run out, so that a restart loses nothing more. Example: leases of 30 s and calls of
        at most 1.5 s make 37.5 s.
        """
        return self._lease_s + _CALLS_OF_SLACK * self._session.settings.redis_timeout_s

    async def run(self) -> None:
        """Never returns; ends by cancellation, or by an error that is not the server's absence."""
        news = self._session.life.news
        while True:
            if self._rests and not news.is_set() and self._session.life.registered_state == "idle":
                self._rests -= 1
                self._turned_s = time.monotonic()
            else:
                news.clear()
                await self.register()
                await self._renew()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.interval_s):
                    await news.wait()

    async def register(self) -> None:
        """Writes the worker's registration, and publishes its model's schema if the server lacks it."""
        session = self._session

        async def register() -> Registered:
            # Asked anew at each try: the server may have been away for long.
            registration, schema = self._registration(), self._schema()
            self._rests = min(_MOST_RESTS, self._workers // _MANY_WORKERS)
            beats = max(_BEATS_TO_EXPIRY, 2.5 * (1 + self._rests))
            told = await session.stream.register(session.id, self.interval_s * beats, registration)
            if told.wants_schema:
                await session.stream.publish_schema(schema.digest, schema.text)
            return told

        told = await self._call(register, "registering")
        self._workers = told.workers
        self._on_registered(told)

    async def _renew(self) -> None:
        session = self._session
        held: list[tuple[str, int]] = []

        async def renew() -> list[str]:
            held[:] = self._held()
            return await session.stream.renew(session.id, held) if held else []

        lost = await self._call(renew, "renewing leases")
        attempts = dict(held)
        for job_id in lost:
            self._on_lost(job_id, attempts[job_id])

    async def _call(self, call: Callable[[], Awaitable[T]], what: str) -> T:
        async def turn() -> T:
            self._turned_s = time.monotonic()
            return await call()

        return await self._session.outage.call(turn, what)
