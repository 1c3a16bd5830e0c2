"""A queue at a glance, and its history: a typed class over the functions of `lua/asking/overview.lua`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from workers.stream.records.figures import Counts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Call = Callable[..., Awaitable[Any]]

HISTORY_STEP_S = 10
HISTORY_STEPS = 24 * 3600 // HISTORY_STEP_S
# A gateway that has stopped writing is replaced after two missed steps and a half.
_LEASE_MS = 25_000


class WorkerGlance(NamedTuple):
    """A live worker. Times are in ms since the epoch, 0 if they are to come.

    `job` is the one that it runs, if it runs any, with the start of its attempt and what it has told last:
    {"fraction", "text"}.
    """

    id: str
    state: str
    starting_ms: int
    ready_ms: int
    running: int
    concurrency: int
    job: str
    started_ms: int
    progress: dict[str, Any] | None

    @classmethod
    def from_reply(cls, reply: Sequence[bytes]) -> WorkerGlance:
        """Reads one item of the reply of `overview`."""
        worker, state, starting, ready, running, concurrency, job, started, progress = reply
        return cls(
            worker.decode(), state.decode(), int(starting or 0), int(ready or 0), int(running or 0),
            int(concurrency or 1), job.decode(), int(started or 0),
            orjson.loads(progress) if progress else None,
        )  # fmt: skip


class QueueGlance(NamedTuple):
    """A queue at the time `now_ms` of the server's clock. `arrived` counts as in `Demand`; -1: it is not known.

    `oldest_ms` is since when the job waits that has waited longest; None if none waits. `decision` and `facts` are the
    scaler's (JSON), or empty.
    """

    now_ms: int
    arrived: int
    waiting: int
    running: int
    deferred: int
    dead: int
    oldest_ms: int | None
    decision: bytes
    facts: bytes
    workers: list[WorkerGlance]


class QueueMeasures(NamedTuple):
    """What a scrape reads of a queue, all at one time.

    `longest_wait_s` is how long the job has waited that has waited longest; 0 if none waits. `history` are steps, as
    `Overviews.history` returns them.
    """

    counts: Counts
    longest_wait_s: float
    history: list[tuple[int, bytes]]


class Overviews:
    """What the page shows of one queue. `call` calls a function of the library. Raises what `Stream` raises."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def read(self) -> QueueGlance:
        """The queue now (XINFO GROUPS, XPENDING, HMGET)."""
        now, arrived, waiting, running, deferred, dead, oldest, decision, facts, *workers = await self._call("overview")
        return QueueGlance(
            int(now), int(arrived), int(waiting), int(running), int(deferred), int(dead),
            int(oldest) if int(oldest) >= 0 else None, decision, facts,
            [WorkerGlance.from_reply(one) for one in workers],
        )  # fmt: skip

    async def measures(self, steps: int) -> QueueMeasures:
        """What a scrape reads, with the history of so many steps, up to now (XINFO GROUPS, XPENDING, XRANGE)."""
        counts, wait_ms, flat = await self._call("measures", _since_ms(steps), HISTORY_STEPS)
        return QueueMeasures(Counts(*map(int, counts)), max(0, int(wait_ms)) / 1000, _rows(flat))

    async def leads(self, gateway: str) -> bool:
        """Whether this gateway is the one that writes the history from now on (SET PX)."""
        return bool(await self._call("lead_history", gateway, _LEASE_MS))

    async def write(self, gateway: str, at_ms: int, step: bytes) -> bool:
        """Adds a step of the history (XADD MAXLEN). False: another gateway writes it, or there is a later one."""
        return bool(await self._call("write_history", gateway, at_ms, step, HISTORY_STEPS))

    async def history(self, since_ms: int) -> list[tuple[int, bytes]]:
        """The steps from this time on, oldest first: the time of each, in ms, and its JSON (XRANGE)."""
        return await self._history(max(0, since_ms))

    async def recent_history(self, steps: int) -> list[tuple[int, bytes]]:
        """Those of the time that so many steps take, up to now (XRANGE)."""
        return await self._history(_since_ms(steps))

    async def _history(self, since_ms: int) -> list[tuple[int, bytes]]:
        return _rows(await self._call("history", since_ms, HISTORY_STEPS))


def _since_ms(steps: int) -> int:
    """What `history` takes for the time that so many steps take, up to now."""
    return -steps * HISTORY_STEP_S * 1000


def _rows(flat: Sequence[Any]) -> list[tuple[int, bytes]]:
    return [(int(at), step) for at, step in zip(flat[::2], flat[1::2], strict=True)]
