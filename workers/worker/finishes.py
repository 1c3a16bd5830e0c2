"""Tells the stream how jobs ended: those of the moment in one call, and with it the claim of the next ones."""

from __future__ import annotations

import asyncio
import sys
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

from workers.stream import LARGE_BYTES, SLOW_S, Batcher, ClaimCall, Finish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.stream import AheadStart, Claimed
    from workers.worker.session import Session

# While calls take SLOW_S or longer, an end waits for those of the jobs that run or are held ahead, if these take no
# longer than a call did, and at most so long: all of them share a wait for the disk. Example: on a disk that takes 4 ms
# the ends of 13 jobs of 0.3 ms are told in one call.
_MOST_GATHER_S = 0.01
# Quicker calls cost the worker and the server as much as some jobs. Ends of jobs that take up to 1 ms share a call with
# the next five, or with those of 2 ms, if so many are held ahead.
_TOGETHER = 6
_QUICK_JOB_S = 0.001
_NO_CLAIM = ClaimCall(-1)


class MakesClaims(Protocol):
    """Says what to claim in the same call as finishes (`workers.worker.claims.Claims`)."""

    def beside(self) -> ClaimBeside | None:
        """What to claim with a call that is about to be sent; None: nothing."""

    async def until_told(self) -> None:
        """Returns when no call but those of finishes tells of starts: the server takes no end before its start."""


class ClaimBeside(Protocol):
    """A claim that goes to the server in the same call as finishes. One of its two methods is called, once."""

    @property
    def call(self) -> ClaimCall:
        """What to claim."""

    def received(self, claimed: list[Claimed], held: list[Claimed]) -> None:
        """These were claimed, and these are held ahead."""

    def failed(self) -> None:
        """The call has failed. Jobs may have been claimed all the same."""


class StartsToTell(Protocol):
    """Starts of jobs that were held ahead (`workers.worker.ahead.Ahead`)."""

    def __len__(self) -> int:
        """How many jobs are held ahead."""

    def is_registered(self, job_id: str, attempt: int) -> bool:
        """Whether the server has said that it knows of this attempt."""

    def left_s(self) -> float:
        """How many seconds what runs and what is held ahead should take; 0 if there is nothing."""

    def take_starts(self) -> list[AheadStart]:
        """Those that the server is to be told of now."""

    def started(self, starts: Sequence[AheadStart], are_ours: Sequence[bool]) -> None:
        """The server's answer to these."""

    def untold(self, starts: Sequence[AheadStart]) -> None:
        """These could not be told."""


class Finishes:
    """Collects finishes while a round trip is under way; those leave together when it is over.

    Those of short jobs that end one after another are collected before that, too: some, or on a slow disk all.

    `parts` say before each call what to claim with it, and which starts to tell. Large results have a way of their own,
    so that others need not wait until they are with the server, and nothing else goes with them.
    """

    def __init__(self, session: Session, parts: Callable[[], tuple[MakesClaims, StartsToTell]]) -> None:
        self._session = session
        self._parts = parts
        self._small = Batcher[Finish, bool](
            self._send, size_of=attrgetter("size_bytes"), resends_singly=True, gather=self._gather
        )
        self._enough: asyncio.Event | None = None
        self._most = 0  # that are gathered
        self._large = Batcher[Finish, bool](self._send_large, size_of=attrgetter("size_bytes"), resends_singly=True)

    @staticmethod
    def is_small(finish: Finish) -> bool:
        """Whether the next claim and the starts of jobs go with it."""
        return finish.size_bytes <= LARGE_BYTES

    def put(self, finish: Finish, receiver: Callable[[bool | BaseException], None]) -> None:
        """Sends it soon.

        The receiver gets whether the worker still held the job, or an error. A future for each would cost more than the
        rest of it.
        """
        ahead = self._parts()[1]
        # The server takes no end before the start, which a call of the small ones tells: the next, or one under way.
        is_apart = not self.is_small(finish) and ahead.is_registered(finish.id, finish.attempt)
        (self._large if is_apart else self._small).put(finish, receiver)
        if self._enough is not None and (len(self._small) >= self._most or not ahead.left_s()):
            self._enough.set()

    async def _gather(self) -> None:
        await self._gather_ends()
        await self._parts()[0].until_told()

    async def _gather_ends(self) -> None:
        self._most, most_s = self._to_gather()
        if len(self._small) >= self._most or not most_s:
            return
        self._enough = asyncio.Event()
        try:
            async with asyncio.timeout(most_s):
                await self._enough.wait()
        except TimeoutError:
            pass
        finally:
            self._enough = None

    def claim_waits_s(self) -> float:
        """For how many seconds at most a claim waits for the next ends, to go along with them; 0: none come soon."""
        return self._gather_s() or (SLOW_S if 0 < self._parts()[1].left_s() <= _QUICK_JOB_S else 0.0)

    def _gather_s(self) -> float:
        """The same for an end on a slow disk, which waits for all that runs and is held."""
        call_s = min(self._small.takes_s, _MOST_GATHER_S)
        return call_s if call_s >= SLOW_S and 0 < self._parts()[1].left_s() <= call_s else 0.0

    def _to_gather(self) -> tuple[int, float]:
        """How many ends to wait for, and for how many seconds at most."""
        if self._small.takes_s >= SLOW_S:
            return sys.maxsize, self._gather_s()
        ahead = self._parts()[1]
        held, left_s = len(ahead), ahead.left_s()
        return (_TOGETHER, SLOW_S) if held >= _TOGETHER and left_s <= held * _QUICK_JOB_S else (0, 0.0)

    async def abandon(self) -> None:
        """Gives up what could not be told to the server."""
        await self._small.abandon()
        await self._large.abandon()

    async def _send(self, finishes: Sequence[Finish]) -> Sequence[bool]:
        session, (claims, ahead) = self._session, self._parts()
        claim, starts = claims.beside(), ahead.take_starts()

        async def send() -> Sequence[bool]:
            # Starts and finishes may be repeated, and the claim may not: it goes with the first try.
            nonlocal claim
            if claim is None and not starts:
                return await session.stream.finish(session.id, finishes)
            beside, claim = claim, None
            try:
                call = beside.call if beside else _NO_CLAIM
                turn = await session.stream.finish_and_claim(session.id, finishes, call, starts)
            except BaseException:
                if beside:
                    beside.failed()
                raise
            ahead.started(starts, turn.started)
            if beside:
                beside.received(turn.claimed, turn.held)
            return turn.done

        try:
            return await session.outage.call(send, "finishing")
        except BaseException:
            ahead.untold(starts)
            raise

    async def _send_large(self, finishes: Sequence[Finish]) -> Sequence[bool]:
        session = self._session
        return await session.outage.call(lambda: session.stream.finish(session.id, finishes), "finishing")
