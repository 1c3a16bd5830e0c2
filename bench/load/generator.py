"""One run: sends the load in time, waits for what is in flight, fetches the results again, and accounts for all."""

from __future__ import annotations

import asyncio
import logging
import platform
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp

from bench.common.arrivals import arrivals, parse
from bench.common.placement import machine
from bench.common.runs import Event, Run
from bench.load.account import Account, RunClock, UserJob, columns
from bench.load.client import ServiceClient
from bench.load.notes import notes
from bench.load.observer import LoadObserver
from bench.load.plan import input_body
from bench.load.user import Users
from workers import __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from bench.load.observer import Source
    from bench.load.plan import LoadPlan

logger = logging.getLogger(__name__)

# Jobs in flight at the first interrupt get this long to end.
GRACE_S = 5.0
# So many requests are begun before those under way get a turn.
_AT_ONCE = 100
_LOOKS_AT_ONCE = 16
# The jobs' inputs by default: without, and with seconds of service in a trace.
_TEMPLATES = ("job {n}", '{"job": {n}, "service_s": {service_s}}')


class Generator:
    """Makes one run. Its public attributes are for the progress line, and for faults that are inflicted meanwhile.

    Raises LoadError if the plan is not valid.
    """

    def __init__(self, plan: LoadPlan, sources: Sequence[Source] = ()) -> None:
        self.plan = plan
        self.arrivals = arrivals(parse(plan.load), plan.duration_s, plan.process, plan.seed)
        self.duration_s = plan.duration_s or (self.arrivals[-1].at_s if self.arrivals else 0.0)
        self.phase = "sending"  # then waiting, looking again, over
        self.account = Account()
        self.events: list[Event] = []  # what was done to the service, for the run's file
        self.errors: list[BaseException] = []  # of the generator itself
        self.clock = RunClock()
        self.sources = list(sources)
        self.observer = LoadObserver(self.sources, self.clock)
        is_timed = any(arrival.service_s is not None for arrival in self.arrivals)
        self._template = _TEMPLATES[is_timed] if plan.input is None else plan.input
        input_body(self._template, 1, None)
        self._users: set[asyncio.Task[None]] = set()
        self._interrupted = asyncio.Event()
        self._at_once = asyncio.Event()

    @property
    def interrupted(self) -> bool:
        """Whether it was told to end early."""
        return self._interrupted.is_set()

    def interrupt(self) -> None:
        """Ends the sending; what is in flight gets GRACE_S seconds, or none at the second interrupt."""
        if self.interrupted:
            self._at_once.set()
        self._interrupted.set()

    async def run(self) -> Run:
        """Makes the whole run. Errors of the service are part of the account, never raised."""
        async with ServiceClient(self.plan.url, self.plan.api_key) as client:
            info = (await client.get("/openapi.json")).document().get("info")
            users = Users(self.plan, client, self.clock, self.account)
            self.clock.restart()
            async with asyncio.TaskGroup() as group:
                observing = group.create_task(self.observer.run())
                await self._load(users)
                observing.cancel()
            await self.observer.look()
            if self.plan.second_look and not self.interrupted:
                await self._look_again(users)
        self.phase = "over"
        unsent = len(self.arrivals) - self.account.sent
        return Run(
            kind="load",
            name=self.plan.name or self.plan.load,
            duration_s=self.duration_s,
            parameters=self.plan.parameters(),
            versions={
                "leadtime": __version__,
                "service": str(info.get("version", "")) if isinstance(info, dict) else "",
                "python": platform.python_version(),
                "aiohttp": aiohttp.__version__,
                "machine": machine(),
            },
            started=self.clock.started.isoformat(timespec="milliseconds"),
            jobs=columns(self.account.jobs),
            samples=self.observer.samples,
            events=self.events,
            notes=notes(self.account, self.plan.timeout_s, unsent if self.interrupted else None, self.errors),
        )

    async def _load(self, users: Users) -> None:
        """Returns when every job that was sent has an outcome."""
        await _until(self._interrupted, self._send(users))
        self.phase = "waiting"
        if not self.interrupted:
            left_s = max(self.duration_s - self.clock(), 0) + self.plan.timeout_s
            await _until(self._interrupted, self._all_known(), left_s)
        if self.interrupted:
            await _until(self._at_once, self._all_known(), GRACE_S)
        for task in self._users:
            task.cancel()
        await self._all_known()
        self._settle()

    async def _send(self, users: Users) -> None:
        """Starts each job's user at its time."""
        run_id = uuid.uuid4().hex
        for number, arrival in enumerate(self.arrivals, start=1):
            while (early_s := arrival.at_s - self.clock()) > 0:  # noqa: ASYNC110 - a timer may fire a little early
                await asyncio.sleep(early_s)
            job, body = UserJob(number, arrival.at_s), input_body(self._template, number, arrival.service_s)
            self.account.jobs.append(job)
            task = asyncio.create_task(users.live(job, body, key=f"{run_id}-{number}"))
            self._users.add(task)
            task.add_done_callback(self._done)
            if not number % _AT_ONCE:
                await asyncio.sleep(0)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._users.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)
            logger.error("a mistake of the load generator", exc_info=error)

    async def _all_known(self) -> None:
        """Returns when no user is under way."""
        while self._users:
            await asyncio.wait(self._users)

    def _settle(self) -> None:
        """Gives an outcome to the jobs whose users never knew."""
        for job in [job for job in self.account.jobs if not job.outcome]:
            outcome = "given up" if self.interrupted else "refused" if job.accepted_s is None else "lost"
            self.account.end(job, outcome, None)
            if outcome == "lost":
                self.account.overdue[job.last or "of unknown status"] += 1

    async def _look_again(self, users: Users) -> None:
        """Fetches all results again, some at a time, for `timeout_s` at most."""
        self.phase = "looking again"
        finished = [job for job in self.account.jobs if job.outcome == "finished"]
        self.account.unchecked = len(finished)
        rest = iter(finished)

        async def look() -> None:
            for job in rest:
                await users.look_again(job)

        looks = asyncio.gather(*(look() for _ in range(_LOOKS_AT_ONCE)))
        await _until(self._interrupted, looks, max(GRACE_S, self.plan.timeout_s))


async def _until(stop: asyncio.Event, work: Awaitable[Any], timeout_s: float | None = None) -> None:
    """Awaits the work, but cancels it when `stop` is set or the timeout is over."""
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
