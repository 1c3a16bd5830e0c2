"""One run: sends the load in time, waits for what is in flight, looks at the results again, and accounts for all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bench.common.arrivals import arrivals, parse
from bench.common.runs import Run
from bench.load.account import Account, Job
from bench.load.client import Client
from bench.load.clock import Clock, offset_s
from bench.load.inputs import Inputs
from bench.load.notes import notes
from bench.load.observer import Observer, observing
from bench.load.second_look import SecondLook
from bench.load.user import Users
from bench.load.versions import versions

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from bench.load.observer import Source
    from bench.load.plan import Plan

logger = logging.getLogger(__name__)

Phase: TypeAlias = Literal["sending", "waiting", "looking again", "over"]
# What is in flight at an interrupt gets this long.
GRACE_S = 5.0
# So many requests are begun before those that are under way get a turn.
_AT_ONCE = 100


class Generator:
    """Makes one run. Its public attributes are for a live view, and for faults that happen meanwhile.

    Raises LoadError or InputError where the plan is none.
    """

    def __init__(self, plan: Plan, sources: Sequence[Source] = ()) -> None:
        self.plan = plan
        self.arrivals = arrivals(parse(plan.load), plan.duration_s, plan.process, plan.seed)
        self.duration_s = plan.duration_s or (self.arrivals[-1].at_s if self.arrivals else 0.0)
        self.phase: Phase = "sending"
        self.account = Account()
        self.second_look: SecondLook | None = None
        self.events: list[dict[str, Any]] = []
        self.errors: list[BaseException] = []
        self.sources = list(sources)
        self.cpu_s = 0.0
        self.requests = 0
        self._begin()
        self._inputs = Inputs(plan.input, any(arrival.service_s is not None for arrival in self.arrivals))
        self._users: set[asyncio.Task[None]] = set()
        self._all_known = asyncio.Event()
        self._interrupted = asyncio.Event()
        self._at_once = asyncio.Event()

    def _begin(self, sources: Sequence[Source] = ()) -> None:
        """The run's begin is now."""
        self.clock = Clock()
        self.observer = Observer(sources, self.clock)

    @property
    def interrupted(self) -> bool:
        """Whether it was told to end early."""
        return self._interrupted.is_set()

    def interrupt(self) -> None:
        """Nothing more is sent, and what is in flight gets some seconds; the second time: none."""
        if self.interrupted:
            self._at_once.set()
        self._interrupted.set()

    def event(self, what: str) -> None:
        """Something was done to the service now."""
        self.events.append({"t_s": round(self.clock(), 3), "what": what})

    async def run(self) -> Run:
        """The whole of it. Errors of the service are part of the account, never raised."""
        async with Client(self.plan.url, self.plan.api_key) as client:
            found_versions = await versions(client)
            self._begin(self.sources)
            began_cpu_s = time.process_time()
            async with observing(self.observer):
                await self._load(client)
                self.cpu_s = time.process_time() - began_cpu_s
                self.requests = client.requests
                loaded_s = self.clock()
            if self.plan.second_look and not self.plan.push_only and not self.interrupted:
                await self._look_again(client)
        self.phase = "over"
        clock_offset_s = offset_s(self.account.jobs)
        return Run(
            kind="load",
            name=self.plan.title,
            duration_s=self.duration_s,
            parameters=self.plan.parameters(),
            versions=found_versions,
            started=self.clock.started,
            jobs=self.account.columns(clock_offset_s),
            samples=self.observer.samples,
            events=self.events,
            notes=notes(self, clock_offset_s, self.cpu_s / loaded_s),
        )

    async def _load(self, client: Client) -> None:
        """Until every job that was sent has an outcome."""
        users = Users(self.plan, client, self.clock, self.account, self._inputs, uuid.uuid4().hex)
        sender = asyncio.create_task(self._send(users))
        await _first(sender, self._interrupted.wait())
        sender.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sender
        self.phase = "waiting"
        if not self.interrupted:
            left_s = max(self.duration_s, self.clock()) + self.plan.timeout_s - self.clock()
            await _first(self._known(), self._interrupted.wait(), timeout_s=left_s)
        if self.interrupted:
            await _first(self._known(), self._at_once.wait(), timeout_s=GRACE_S)
        for task in self._users:
            task.cancel()
        while self._users:
            await asyncio.wait(self._users)
        self._settle()

    async def _send(self, users: Users) -> None:
        """Starts each job's user at its time."""
        for number, arrival in enumerate(self.arrivals, start=1):
            while (early_s := arrival.at_s - self.clock()) > 0:  # noqa: ASYNC110 - a timer may fire a little early
                await asyncio.sleep(early_s)
            job = Job(number, arrival.at_s, arrival.service_s)
            self.account.open(job)
            task = asyncio.create_task(users.live(job))
            self._users.add(task)
            task.add_done_callback(self._done)
            if not number % _AT_ONCE:
                await asyncio.sleep(0)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._users.discard(task)
        if not self._users:
            self._all_known.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)
            logger.error("a mistake of the load generator", exc_info=error)

    async def _known(self) -> None:
        """Returns when no user is under way."""
        while self._users:
            self._all_known.clear()
            await self._all_known.wait()

    def _settle(self) -> None:
        """Outcomes for those who do not know."""
        for job in self.account.jobs:
            if job.outcome:
                continue
            if self.interrupted:
                self.account.end(job, "given up", None)
            elif job.accepted_s is None:
                self.account.end(job, "refused", None)
            else:
                self.account.overdue[job.last or "of unknown status"] += 1
                self.account.end(job, "lost", None)

    async def _look_again(self, client: Client) -> None:
        self.phase = "looking again"
        self.second_look = SecondLook(client, self.account)
        look = asyncio.create_task(self.second_look.take())
        await _first(look, self._interrupted.wait())
        look.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await look


async def _first(*awaitables: Coroutine[Any, Any, Any] | asyncio.Task[Any], timeout_s: float | None = None) -> None:
    """Returns when one is done, or after the timeout. Coroutines are cancelled, tasks go on."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for task, awaitable in zip(tasks, awaitables, strict=True):
        if task is not awaitable:
            task.cancel()
