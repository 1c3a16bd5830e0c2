"""`WORKERS=auto`: worker processes that are started and stopped by the scaler's policy, as pods are in a cluster."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from deploy.local.server import StartError
from workers.scaler.loop import Scaler
from workers.scaler.settings import ACTUATION_S
from workers.scaler.surroundings import ObservationError, ReplicasSeen, SoleLeader
from workers.settings import BAD_SETTING, LOAD_FAILED
from workers.stream import is_unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from deploy.local.processes import Child
    from workers.scaler.policy import Decision
    from workers.scaler.settings import PolicySettings
    from workers.stream import Stream, WorkerView

_LONG_LIFE_S = 60.0
_LEAST_PAUSE_S = 0.5
_MOST_PAUSE_S = 30.0
_CLOSE_S = 5.0


@dataclass(slots=True)
class _Worker:
    """A worker process; `state` and `since_ms` are its registration's, when that was last read."""

    number: int
    child: Child
    started_s: float
    state: str = "starting"
    since_ms: int = 0
    has_been_ready: bool = False
    stopping: bool = False


class Fleet:
    """The workers: a scaler observes them here, and here its decisions are carried out.

    `start` starts the worker process of that number, counted from 1; one that does not stop within `patience_s`
    seconds is killed.
    """

    def __init__(
        self,
        stream: Stream,
        settings: PolicySettings,
        concurrency: int,
        start: Callable[[int], Awaitable[Child]],
        say: Callable[[str], None],
        patience_s: float,
    ) -> None:
        self._stream = stream
        self._start = start
        self._say = say
        self._patience_s = patience_s
        self._workers: dict[int, _Worker] = {}
        self._startups_s: list[float] = []
        self._wanted = 0
        self._pause_s = 0.0
        self._not_before_s = 0.0
        options = settings.options(concurrency, ACTUATION_S["direct"])
        self._scaler = Scaler(stream, options, self, SoleLeader(), self._act)
        self._group = asyncio.TaskGroup()

    async def run(self) -> NoReturn:
        """Scales until it is cancelled; the processes are left to the caller. Raises StartError for a bad setting."""
        handler = _Teller(self._say)
        logging.getLogger("workers").addHandler(handler)
        try:
            async with self._group:
                self._group.create_task(self._scaler.run())
            raise AssertionError
        finally:
            logging.getLogger("workers").removeHandler(handler)
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await self._scaler.close()
                    await self._stream.close()
            except Exception as error:
                if not is_unavailable(error):
                    raise

    @property
    def _there(self) -> list[_Worker]:
        return [worker for worker in self._workers.values() if not worker.stopping]

    # what there is

    async def observe(self) -> ReplicasSeen:
        """Returns the workers now. Raises ObservationError."""
        try:
            views = await self._stream.workers()
        except Exception as error:
            if not is_unavailable(error):
                raise
            raise ObservationError(f"the workers' registrations can't be read ({error})") from error
        host = socket.gethostname()
        by_pid = {view.fields.get("pid"): view for view in views if view.fields.get("host") == host}
        for worker in self._there:
            self._read(worker, by_pid.get(str(worker.child.pid)))
        starting = [worker for worker in self._there if worker.state == "starting"]
        now_s = time.time()
        ages_s = sorted((max(0.0, now_s - _began_s(worker)) for worker in starting), reverse=True)
        startups_s, self._startups_s = tuple(self._startups_s), []
        return ReplicasSeen(len(self._there), len(self._there) - len(starting), tuple(ages_s), startups_s)

    def _read(self, worker: _Worker, view: WorkerView | None) -> None:
        if view is None:
            worker.state = "starting"
            return
        ready_ms = int(view.fields.get("ready_since", "0"))
        worker.state = view.fields.get("state", "idle") if ready_ms else "starting"
        worker.since_ms = int(view.fields.get("starting_since", "0"))
        if ready_ms and not worker.has_been_ready:
            worker.has_been_ready = True
            self._startups_s.append(max(0.0, ready_ms / 1000 - worker.started_s))

    # what there shall be

    async def _act(self, decision: Decision) -> None:
        if decision.replicas != self._wanted:
            self._say(f"workers {self._wanted} -> {decision.replicas}: {decision.reason}")
            self._wanted = decision.replicas
        missing = decision.replicas - len(self._there)
        for worker in sorted(self._there, key=_cost)[: max(0, -missing)]:
            worker.stopping = True
            self._group.create_task(self._stop(worker))
        if time.monotonic() >= self._not_before_s:
            for _ in range(missing):
                await self._add()

    async def _add(self) -> None:
        number = next(n for n in range(1, len(self._workers) + 2) if n not in self._workers)
        worker = self._workers[number] = _Worker(number, await self._start(number), time.time())
        self._group.create_task(self._watch(worker))

    async def _watch(self, worker: _Worker) -> None:
        """Waits for a worker's end, whoever wanted it."""
        began_s = time.monotonic()
        try:
            code = await worker.child.wait()
        finally:
            del self._workers[worker.number]
        if worker.stopping:
            return
        if code == BAD_SETTING:
            raise StartError(f"{worker.child.name} can't start ({worker.child.describe_end()})")
        # Loading in vain may take long.
        lived_long = time.monotonic() - began_s > _LONG_LIFE_S and code != LOAD_FAILED
        self._pause_s = _LEAST_PAUSE_S if lived_long else min(_MOST_PAUSE_S, max(_LEAST_PAUSE_S, 2 * self._pause_s))
        self._not_before_s = time.monotonic() + self._pause_s
        self._say(f"{worker.child.name} ended ({worker.child.describe_end()}), no other starts for {self._pause_s:g} s")

    async def _stop(self, worker: _Worker) -> None:
        if not await worker.child.stop(self._patience_s):
            self._say(f"{worker.child.name} did not stop in time and was killed")


def _began_s(worker: _Worker) -> float:
    # One that has been ready before loads its model once more.
    return worker.since_ms / 1000 if worker.has_been_ready and worker.since_ms else worker.started_s


def _cost(worker: _Worker) -> tuple[int, float]:
    """What its end costs: as in a cluster those that start go first, the youngest before others, then idle ones."""
    return {"starting": 0, "idle": 1}.get(worker.state, 2), -worker.started_s


class _Teller(logging.Handler):
    """Passes on what the scaler warns of. Its decisions are told with what is done about them."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())
