"""Tells the stream how jobs ended: those of the moment in one call, and with it the claim of the next ones."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

from workers.stream import LARGE_BYTES, Batcher, Finish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.stream import ClaimCall, Claimed
    from workers.worker.session import Session


class ClaimBeside(Protocol):
    """A claim that goes to the server in the same call as finishes. One of its two methods is called, once."""

    @property
    def call(self) -> ClaimCall:
        """What to claim."""

    def received(self, jobs: list[Claimed]) -> None:
        """These were claimed."""

    def failed(self) -> None:
        """The call has failed. Jobs may have been claimed all the same."""


class Finishes:
    """Collects finishes while a round trip is under way; those leave together when it is over.

    `claim_beside` is asked before each call what to claim with it; None: nothing. Large results have a way of their
    own, so that others need not wait until they are with the server, and nothing is claimed with them.
    """

    def __init__(self, session: Session, claim_beside: Callable[[], ClaimBeside | None]) -> None:
        self._session = session
        self._claim_beside = claim_beside
        self._small = Batcher[Finish, bool](self._send, size_of=attrgetter("size_bytes"), resends_singly=True)
        self._large = Batcher[Finish, bool](self._send_large, size_of=attrgetter("size_bytes"), resends_singly=True)

    def put(self, finish: Finish, receiver: Callable[[bool | BaseException], None]) -> None:
        """Sends it soon. The receiver gets whether the worker still held the job, or an error.

        A future for each would cost more than the rest of it.
        """
        (self._small if finish.size_bytes <= LARGE_BYTES else self._large).put(finish, receiver)

    async def abandon(self) -> None:
        """Gives up what could not be told to the server."""
        await self._small.abandon()
        await self._large.abandon()

    async def _send(self, finishes: Sequence[Finish]) -> Sequence[bool]:
        session, claim = self._session, self._claim_beside()

        async def send() -> Sequence[bool]:
            # A finish may be repeated, and the claim may not: it goes with the first try.
            nonlocal claim
            if claim is None:
                return await session.stream.finish(session.id, finishes)
            beside, claim = claim, None
            try:
                done, jobs = await session.stream.finish_and_claim(session.id, finishes, beside.call)
            except BaseException:
                beside.failed()
                raise
            beside.received(jobs)
            return done

        return await session.outage.call(send, "finishing")

    async def _send_large(self, finishes: Sequence[Finish]) -> Sequence[bool]:
        session = self._session
        return await session.outage.call(lambda: session.stream.finish(session.id, finishes), "finishing")
