"""Where a worker is in its life, how many jobs it may run, and how many it runs."""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum


class WorkerState(StrEnum):
    """A worker's states."""

    STARTING = "starting"  # it connects, runs `on_startup`, loads its model
    READY = "ready"  # it claims jobs
    STOPPING = "stopping"  # it was told to stop: it claims no more, and ends or hands back what runs
    STOPPED = "stopped"  # nothing runs any more


_CHANGES = {
    WorkerState.STARTING: {WorkerState.READY, WorkerState.STOPPING, WorkerState.STOPPED},
    # Back to starting: the last process of its model has died, and another one loads.
    WorkerState.READY: {WorkerState.STARTING, WorkerState.STOPPING, WorkerState.STOPPED},
    WorkerState.STOPPING: {WorkerState.STOPPED},
    WorkerState.STOPPED: set[WorkerState](),
}


class Life:
    """One worker's life. Times are this machine's clock, in ms since the epoch.

    `capacity` is how many jobs may run at once now. `in_line_since_ms` is the worker's place among those that are idle:
    the earliest is woken first. `changed` is set whenever readiness may have changed, and
    `news` whenever the server should hear of it before the next heartbeat is due.
    """

    def __init__(self, capacity: int) -> None:
        self.state = WorkerState.STARTING
        self.capacity = capacity
        self.running = 0
        self.starting_since_ms = _now_ms()
        self.ready_since_ms = 0
        self.in_line_since_ms = 0
        self._started = False
        self.stopping = asyncio.Event()
        self.changed = asyncio.Event()
        self.news = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether it may claim jobs."""
        return self.state is WorkerState.READY

    @property
    def registered_state(self) -> str:
        """What the registration says: starting, idle, busy or stopping."""
        if self.state in (WorkerState.STOPPING, WorkerState.STOPPED):
            return "stopping"
        if self.running:
            return "busy"
        return "idle" if self.state is WorkerState.READY else "starting"

    def start(self) -> None:
        """`on_startup` has returned: it is ready, unless it has no model by now or was told to stop meanwhile."""
        self._started = True
        if self.state is WorkerState.STARTING and self.capacity:
            self._change(WorkerState.READY)

    def set_capacity(self, capacity: int) -> None:
        """Sets how many jobs may run at once; with 0 it is as a worker that starts."""
        self.capacity = capacity
        if self.state is WorkerState.READY and not capacity:
            self._change(WorkerState.STARTING)
        elif self.state is WorkerState.STARTING and self._started and capacity:
            self._change(WorkerState.READY)
        self.changed.set()

    def stop(self) -> None:
        """It was told to stop; again: no effect."""
        if self.state in (WorkerState.STARTING, WorkerState.READY):
            self._change(WorkerState.STOPPING)
            self.stopping.set()

    def step_back(self) -> None:
        """Goes to the end of the line of idle workers: it was woken for what it can't do."""
        self.in_line_since_ms = _now_ms()

    def end(self) -> None:
        """Nothing is to run any more, whether it was told to stop or failed."""
        if self.state is not WorkerState.STOPPED:
            self._change(WorkerState.STOPPED)

    def _change(self, state: WorkerState) -> None:
        if state not in _CHANGES[self.state]:
            raise AssertionError(f"a worker that is {self.state} can't become {state}")
        if state is WorkerState.READY:
            self.ready_since_ms = self.in_line_since_ms = _now_ms()
        elif state is WorkerState.STARTING:
            self.starting_since_ms, self.ready_since_ms = _now_ms(), 0
        self.state = state
        self.changed.set()
        self.news.set()


def _now_ms() -> int:
    return round(time.time() * 1000)
