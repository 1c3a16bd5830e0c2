"""Claims jobs for the free slots of a worker, and takes those that a push has claimed for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from workers.stream import ClaimCall
from workers.worker.beside.heartbeat import BEATS_IN_A_LEASE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workers.stream import Claimed, Registered
    from workers.worker.ahead import Ahead
    from workers.worker.runner import Runner
    from workers.worker.session import Session

logger = logging.getLogger(__name__)

# Up to 16 free slots are filled by one claim. With more free slots a claim takes half of them, so that the first jobs
# already run while the next claim is under way. Example: of 100 free slots, 50, then 25, then 16.
_WHOLE_CLAIM = 16
# How many attempts a job has of a function that this worker lacks: such a job is not this worker's to fail.
_ANY_ATTEMPT = 1_000_000_000
# The longest time between two sweeps of one of many workers, in leases.
_LEASES_BETWEEN_SWEEPS = 10


class ClaimTerms(NamedTuple):
    """What a worker may claim."""

    slots: int
    """How many jobs it runs at once, at most."""
    attempts_of: Mapping[str, int]
    """How many attempts a job has, by its function."""
    together: int = 1
    """How many jobs are run in one call: a claim asks for a multiple of that, if there is room."""

    @property
    def most_at_once(self) -> int:
        """How many jobs one claim may bring."""
        most = max(_WHOLE_CLAIM, self.slots // 2)
        return max(self.together, most - most % self.together)


class BesideFinish(NamedTuple):
    """A claim that goes to the server in the same call as finishes (`workers.worker.finishes.ClaimBeside`)."""

    claims: Claims
    call: ClaimCall

    def received(self, claimed: list[Claimed], held: list[Claimed]) -> None:
        """These were claimed, and these are held ahead."""
        self.claims.came_beside(self.call, claimed, held)

    def failed(self) -> None:
        """Jobs may have been claimed or not."""
        self.claims.failed_beside()


class Claims:
    """The claim loop of one worker; `run` must run beside its subscription.

    With `burst` it stops when no job is left, or when it has claimed `most_jobs` (arq's `max_burst_jobs`; None: any).
    """

    def __init__(
        self, session: Session, runner: Runner, ahead: Ahead, terms: ClaimTerms, waits_s: Callable[[], float]
    ) -> None:
        self._session = session
        self._runner = runner
        self._ahead = ahead
        self._terms = terms
        self._waits_s = waits_s
        self._finish_leaves = asyncio.Event()
        self._work = asyncio.Event()
        self._count = 0
        self._is_overdue = asyncio.Event()  # nobody has swept for long
        self._settled = asyncio.Event()  # no claim is under way
        self._settled.set()
        self._tells_starts = False  # a claim of the loop is under way that tells of starts
        # How many jobs one claim may bring. 1 after a job whose function this worker lacks: the next ones may be meant
        # for another worker, which was woken too. Each claim of nothing but own jobs doubles it.
        self._most_at_once = terms.slots
        self._may_be_woken = False
        self._is_more = False  # the last claim has brought all that it asked for
        self._woken_beside = False  # while a claim beside finishes is under way
        # What was claimed for this worker may be unknown to it: a claim's reply or a message was lost.
        self._replies_are_known = True
        self._messages_are_known = True
        self._handed_back: set[str] = set()
        # What a push has claimed for this worker while the server is asked what this worker holds.
        self._arrived: list[Callable[[], None]] | None = None
        self.burst = False
        self.most_jobs: int | None = None

    @property
    def takes_jobs(self) -> bool:
        """Whether a push may hand it a job: that asks neither how many more are wanted, nor for a first attempt."""
        return not self.burst and min(self._terms.attempts_of.values()) > 0

    # what others tell it

    def wake(self) -> None:
        """There is work, or the worker may run more jobs."""
        # The answer to a claim that is under way may be older.
        self._woken_beside |= self._claiming
        self._work.set()

    def slot_is_free(self) -> None:
        """A job has ended: the claim goes along with its finish, if that leaves now."""
        self._work.set()

    def take(self, job: Claimed) -> None:
        """Runs a job that a push has claimed for this worker, and looks for more."""
        self._once_known(partial(self._take, job))

    def hold(self, jobs: list[Claimed]) -> None:
        """Holds jobs ahead that a push has claimed for this worker, behind one that it runs."""
        self._once_known(partial(self._hold, jobs))

    def _once_known(self, arrives: Callable[[], None]) -> None:
        if self._arrived is None:
            arrives()
        else:
            self._arrived.append(arrives)

    def _hold(self, jobs: list[Claimed]) -> None:
        self._ahead.received([job for job in jobs if job.entry not in self._handed_back])
        self._handed_back.difference_update(job.entry for job in jobs)
        if self._free() > 0:
            self.wake()

    def _take(self, job: Claimed) -> None:
        self._may_be_woken = False
        if job.entry in self._handed_back:
            self._handed_back.remove(job.entry)
        elif self._free() > 0:
            self._start(job)
        else:
            self._runner.refuse(job)
        self.wake()

    def messages_were_missed(self) -> None:
        """The subscription was down for a time: a job may have been handed over meanwhile."""
        self._messages_are_known = False
        self.wake()
        # A server that was away may have lost the registration as well.
        self._session.life.news.set()

    def beside(self) -> BesideFinish | None:
        """A claim that goes along with finishes that are about to be sent. None: if one is needed, it goes alone."""
        self._finish_leaves.set()
        if not self._may_join:
            return None
        # They were pushed before all that a claim could bring, and this call tells of their starts.
        self._ahead.start_next(self._free())
        count, ahead, held = max(0, self._wanted()), self._ahead.wanted(), self._ahead.told
        if not count and not ahead and held < 0:
            return None
        self._woken_beside = False
        self._settled.clear()
        self._replies_are_known = False
        return BesideFinish(self, self._call_for(count)._replace(ahead=ahead, held=held))

    async def until_told(self) -> None:
        """Returns when the server knows of all starts that a claim of the loop tells of, or `take_starts` has them."""
        while self._tells_starts:
            await self._settled.wait()

    def came_beside(self, call: ClaimCall, jobs: list[Claimed], held: list[Claimed]) -> None:
        """The answer to such a claim."""
        self._settled.set()
        if jobs and self._session.life.stopping.is_set():
            return  # `withdraw` hands them back
        self._replies_are_known = True
        self._received(call.most, jobs)
        self._ahead.received(held)
        if (held or self._woken_beside) and self._free() > 0:
            self._work.set()

    def failed_beside(self) -> None:
        """There is no answer. `withdraw` hands back what was claimed, or the next claim of the loop."""
        self._settled.set()
        self._work.set()

    def set_slots(self, slots: int, together: int) -> None:
        """Has the worker run so many jobs at once, so many in one call. Before `run`."""
        self._terms = self._terms._replace(slots=slots, together=together)
        self._most_at_once = slots

    # the loop

    async def run(self) -> None:
        """Returns when the worker was told to stop, or in burst mode when no job is left."""
        stopping, is_woken = self._session.life.stopping, False
        while not stopping.is_set():
            self._work.clear()
            # A claim beside finishes that is under way wakes this loop when it is over.
            if self._claiming:
                pass
            elif self._wanted() > 0:
                await self._claim_alone(is_woken)
            elif self._may_be_woken:
                # A wake-up is another worker's then; such a claim only says that there is no room.
                await self._claim(0)
            if self.burst and not self._runner.held() and await self._is_drained():
                return
            is_woken = not self._work.is_set()
            await self._work.wait()

    def registered(self, told: Registered) -> None:
        """A heartbeat's answer."""
        if told.is_overdue:
            self._is_overdue.set()
        # With a free slot and yet not known as idle: a wake-up got lost.
        if not told.is_idle:
            self._work.set()

    async def keep_sweeping(self) -> None:
        """Does for the queue what time alone must bring about. Never returns."""
        session = self._session
        # In burst mode the loop waits for the queue's end, of which nobody is told.
        most_s = session.settings.lease_s * (1 / BEATS_IN_A_LEASE if self.burst else _LEASES_BETWEEN_SWEEPS)
        while True:
            self._is_overdue.clear()
            pause_s = await session.outage.call(partial(session.stream.sweep, most_s), "sweeping")
            if self.burst:
                self._work.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._is_overdue.wait()

    async def settle(self, loop: asyncio.Task[None]) -> None:
        """Waits for a claim that is under way: its jobs would be nobody's until their leases run out."""
        if self._claiming and self._session.outage.available:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * self._session.settings.redis_timeout_s):
                    await self._settled.wait()

    async def withdraw(self) -> None:
        """Hands back what a claim may have brought that nobody heard of, and asks not to be woken.

        A job that was begun while a claim waited is told now: nothing else may tell of it before it ends.
        """
        session, running = self._session, self._session.life.running
        with contextlib.suppress(Exception):
            async with asyncio.timeout(2 * session.settings.redis_timeout_s):
                await self._release_unknown()
                if self._ahead:
                    await self._ahead.handed_back()
                if not self._claiming and (self._ahead.has_starts or (self._may_be_woken and running)):
                    await self._claim(0)

    @property
    def room(self) -> int:
        """How many more jobs may run."""
        return max(0, self._free())

    @property
    def _may_join(self) -> bool:
        """Whether a claim may go along with finishes."""
        return self._is_known and not (self.burst or self._claiming)

    @property
    def _is_known(self) -> bool:
        return self._replies_are_known and self._messages_are_known

    @property
    def _claiming(self) -> bool:
        return not self._settled.is_set()

    def _wanted(self) -> int:
        return min(self._free(), self._terms.most_at_once, self._most_at_once)

    def _free(self) -> int:
        life = self._session.life
        free = min(life.capacity, self._terms.slots) - life.running
        if self.most_jobs is not None:
            free = min(free, self.most_jobs - self._count)
        return 0 if life.stopping.is_set() else free

    async def _is_drained(self) -> bool:
        if self.most_jobs is not None and self._count >= self.most_jobs:
            return True
        counts = await self._session.outage.call(self._session.stream.counts, "burst")
        return counts.outstanding <= await self._runner.foreign.waiting()

    async def _claim_alone(self, is_woken: bool) -> None:
        if is_woken:  # if a finish is about to leave, it takes the claim along
            await asyncio.sleep(0)
        if self._may_join:
            self._ahead.start_next(self._free())
            await self._until_finish_leaves()
        count = self._wanted()
        if not self._claiming and (count > 0 or self._ahead.has_starts):
            await self._claim(count)

    async def _until_finish_leaves(self) -> None:
        """If what runs should end soon, the claim goes along with it. Not if there is more to claim already."""
        most_s = 0.0 if self._is_more else self._waits_s()
        if most_s > 0:
            self._finish_leaves.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(most_s):
                    await self._finish_leaves.wait()

    async def _claim(self, count: int) -> None:
        session = self._session
        self._settled.clear()
        try:
            if count and self._ahead:
                # They were pushed before all that a claim could bring, and this call tells of their starts.
                self._ahead.start_next(self._free() if self._is_known else 0)
                count = max(0, self._wanted())
            jobs, ahead = await session.outage.call(lambda: self._ask_for(count), "claiming")
            if session.life.stopping.is_set() and jobs:
                self._ahead.received(ahead)  # hands them back
                held = [(job.id, job.attempt) for job in jobs]
                await session.outage.call(lambda: session.stream.release(session.id, held), "handing jobs back")
                return
        finally:
            self._tells_starts = False
            self._settled.set()
        self._received(count, jobs)
        if ahead:
            self._ahead.received(ahead)

    def _received(self, count: int, jobs: list[Claimed]) -> None:
        """Runs what was claimed when so many jobs were asked for."""
        # There is less room than was asked for if a job has been handed over meanwhile.
        room = max(0, self._free())
        if jobs:
            self._most_at_once = min(self._terms.slots, 2 * self._most_at_once)
        for job in jobs[:room]:
            self._start(job)
        for job in jobs[room:]:
            self._runner.refuse(job)
        self._count += len(jobs)
        self._may_be_woken = len(jobs) < count
        if count:
            self._is_more = not self._may_be_woken
            if self._is_more:
                self._work.set()

    def _start(self, job: Claimed) -> None:
        if not self._runner.start(job):
            self._most_at_once = 1

    async def _ask_for(self, count: int) -> tuple[list[Claimed], list[Claimed]]:
        """What was claimed, and what is held ahead."""
        session = self._session
        await self._release_unknown()
        self._replies_are_known = False
        call, starts = self._call_for(count), self._ahead.take_starts()
        self._tells_starts = bool(starts)
        ahead = self._ahead.wanted() if count else 0
        if ahead or starts:
            call = call._replace(ahead=ahead, held=self._ahead.told)
            try:
                turn = await session.stream.finish_and_claim(session.id, (), call, starts)
            except BaseException:
                self._ahead.untold(starts)
                raise
            self._ahead.started(starts, turn.started)
            self._replies_are_known = True
            return turn.claimed, turn.held
        claimed = await session.stream.claim(
            session.id, call.most, call.running, call.ready_ms, call.max_attempts, call.attempts_of
        )
        self._replies_are_known = True
        return claimed, []

    def _call_for(self, count: int) -> ClaimCall:
        life = self._session.life
        return ClaimCall(count, life.running, life.in_line_since_ms, _ANY_ATTEMPT, self._terms.attempts_of)

    async def _release_unknown(self) -> None:
        """Hands back what this worker may hold without having heard of it."""
        if self._is_known:
            return
        self._replies_are_known, self._messages_are_known = False, True
        self._ahead.forget()
        # A job that is handed over meanwhile may be handed back by this very call: it starts once there is an answer.
        # Without one it is unknown, and the next such call hands it back.
        arrived: list[Callable[[], None]] = []
        self._arrived = arrived
        try:
            # Messages that were not lost may have arrived meanwhile, or are still to come.
            self._handed_back.update(await self._session.stream.release_unknown(self._session.id, self._runner.held()))
        finally:
            self._arrived = None
        for arrives in arrived:
            arrives()
