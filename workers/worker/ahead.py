"""Looking ahead: a worker whose jobs are short holds the next ones, and starts one the moment the last has ended."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

from workers.stream import AheadStart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from workers.stream import Claimed
    from workers.worker.events import Events
    from workers.worker.runner import Runner
    from workers.worker.session import Session

# That run and that are held, however short they are. Example: jobs of 0.1 ms on a disk that takes 3 ms: 30 of them run
# while one call waits for it. A worker that runs more jobs than that at once has others to go on with.
_MOST_JOBS = 32
# The mean service time of a function moves by this share of the way to each new one: some 10 jobs are remembered.
_SHARE = 0.1
# A longer time counts as this one, so that a single long job among short ones is soon forgotten.
_LONGEST_S = 1.0
# The same of a function whose jobs bring files, and its mean up to which the next job is held for that. It is held for
# twice the mean, so a long job in front delays it by that at most.
_LONGEST_WITH_FILES_S = 20.0
_MEAN_WITH_FILES_S = 10.0
# A job with a ttl that has been held for this long is started no more, but handed back: the server has it held only if
# more than a second of its ttl is left (`LEAST_LEFT_MS` in ahead.lua).
_LONGEST_WITH_TTL_S = 0.5


class BringsFiles(Protocol):
    """Brings the files of jobs that are held ahead."""

    function: str
    """The function whose jobs may have files."""

    @property
    def is_worth_it(self) -> bool:
        """Whether that takes some time."""

    def begin(self, job: Claimed) -> None:
        """The job is held from now on."""

    def drop(self, job_id: str) -> None:
        """The job is not held any more, and does not run here."""


class _Held(NamedTuple):
    """A job, and since when it is held."""

    job: Claimed
    since_s: float

    @property
    def may_be_too_late(self) -> bool:
        """Whether its ttl may be over."""
        return self.job.options.ttl_ms is not None and time.monotonic() - self.since_s > _LONGEST_WITH_TTL_S


class Ahead:
    """The jobs that one worker holds ahead: as many as fit into `LOOK_AHEAD_S` by what those of a function took.

    They are the server's still: queued, their attempts not counted. Each start is told with the next call of finishes
    (`take_starts`). If no slot has been free for `LOOK_AHEAD_S`, all of them are handed back: a long job delays nobody.
    Where jobs bring `files`, one is held also if they are longer than that, so that its files come meanwhile.
    `on_lost` is called for a job that was started here, and that the server says is not this worker's.
    Of a model that runs jobs `together`, so many in one call, the jobs of the next call are held.
    """

    def __init__(self, session: Session, runner: Runner, events: Events, on_lost: Callable[[str, int], None]) -> None:
        self._session = session
        self._runner = runner
        self._events = events
        self._on_lost = on_lost
        self._most_s = session.settings.look_ahead_s
        self._jobs: deque[_Held] = deque()
        self._means_s: dict[str, float] = {}
        self._starts: list[AheadStart] = []
        self._last = ""  # the function of the job that ended last
        self._is_known = False  # the server may count jobs as held here
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.together = 1
        self.is_off = self._most_s <= 0
        self.files: BringsFiles | None = None

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def told(self) -> int:
        """How many are held, for the server; -1 if it knows that none are."""
        return len(self._jobs) if self._jobs or self._is_known else -1

    def left_s(self) -> float:
        """How many seconds what runs here and what is held ahead should take; 0 if there is nothing."""
        life = self._session.life
        jobs = life.running + len(self)
        return max(min(1, jobs), jobs / max(1, life.capacity)) * self._means_s.get(self._last, _LONGEST_S)

    @property
    def has_starts(self) -> bool:
        """Whether there are starts to tell."""
        return bool(self._starts)

    def wanted(self) -> int:
        """How many more should be held."""
        mean_s = self._means_s.get(self._last)
        if self.is_off or mean_s is None or not self._session.ready:
            return 0
        calls = int(self._most_s / max(mean_s, 1e-6))
        if self.together > 1 and calls:
            most = self.together
        else:
            most = min(_MOST_JOBS - self._session.life.running, calls or self._waits_for_files(mean_s))
        return max(0, most - len(self._jobs))

    def _waits_for_files(self, mean_s: float) -> bool:
        files = self.files
        return files is not None and self._last == files.function and files.is_worth_it and mean_s <= _MEAN_WITH_FILES_S

    def ran(self, job: Claimed, took_s: float, free: int) -> bool:
        """A job has ended, and its finish leaves at once. Starts the next ones in the slots that are `free`, if any."""
        if self.is_off:
            return False
        has_files = self.files is not None and self.files.function == job.function
        took_s = min(took_s, _LONGEST_WITH_FILES_S if has_files else _LONGEST_S)
        mean_s = self._means_s.get(job.function)
        self._means_s[job.function] = took_s if mean_s is None else mean_s + _SHARE * (took_s - mean_s)
        self._last = job.function
        return self.start_next(free)

    def start_next(self, free: int) -> bool:
        """Starts the jobs that were held first in the slots that are `free`; `take_starts` is to be called at once.

        Returns whether there were any.
        """
        count = min(free, len(self._jobs))
        if count <= 0 or self._session.life.stopping.is_set():
            return False
        if any(held.may_be_too_late for held in islice(self._jobs, count)):
            self.hand_back()
            return False
        for _ in range(count):
            self._start(self._jobs.popleft().job)
        self._watch()
        return True

    def _start(self, job: Claimed) -> None:
        self._starts.append(AheadStart(job.id, job.entry, job.attempt, time.monotonic()))
        self._events.hold_back(job.id, job.attempt)
        self._runner.start(job)

    def take_starts(self) -> list[AheadStart]:
        """The starts that the server has not been told of: to be told now, and answered by `started` or `untold`."""
        starts, self._starts = self._starts, []
        return starts

    def untold(self, starts: Sequence[AheadStart]) -> None:
        """These could not be told."""
        self._starts[:0] = starts

    def registered(self) -> list[tuple[str, int]]:
        """Ids and attempts of what runs here, as far as the server has said that it knows."""
        return [pair for pair in self._runner.held() if self.is_registered(*pair)]

    def is_registered(self, job_id: str, attempt: int) -> bool:
        """Whether the server has said that it knows of this attempt."""
        return self._events.is_registered(job_id, attempt)

    def started(self, starts: Iterable[AheadStart], are_ours: Sequence[bool]) -> None:
        """The server's answer to those."""
        for start, is_ours in zip(starts, are_ours, strict=True):
            if not is_ours:
                self._on_lost(start.id, start.attempt)
            self._events.let_go(start.id, start.attempt)

    def received(self, jobs: Sequence[Claimed]) -> None:
        """These are held from now on, unless this worker can't run one of them: those behind it go back, too."""
        self._is_known = bool(self._jobs or jobs)
        since_s = time.monotonic()
        self._jobs.extend(_Held(job, since_s) for job in jobs)
        if not jobs:
            return
        if self.files is not None and self.files.is_worth_it:
            for job in jobs:
                self.files.begin(job)
        if self._session.life.stopping.is_set() or not all(map(self._runner.has_function_of, jobs)):
            self.hand_back()
        else:
            self._watch()

    def drop(self, job_id: str) -> None:
        """It was cancelled."""
        self._drop_files(held for held in self._jobs if held.job.id == job_id)
        self._jobs = deque(held for held in self._jobs if held.job.id != job_id)

    def forget(self) -> None:
        """What is held is not known any more: `release_unknown` hands it back."""
        self._drop_files(self._jobs)
        self._jobs.clear()
        self._is_known = False

    def hand_back(self) -> None:
        """Hands back what is held, at once as far as this worker is concerned."""
        task = asyncio.get_running_loop().create_task(self._release(self._given_up()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def handed_back(self) -> None:
        """Hands back what is held. While the server is away, the leases do that."""
        await self._release(self._given_up())

    def _given_up(self) -> list[tuple[str, str]]:
        """Ids and entries of what was held until now."""
        jobs, self._jobs = self._jobs, deque()
        self._drop_files(jobs)
        # A call that is under way may tell the server of them once more: then the next one puts that right.
        self._is_known = True
        return [(held.job.id, held.job.entry) for held in jobs]

    async def _release(self, entries: list[tuple[str, str]]) -> None:
        session = self._session
        await session.outage.call(lambda: session.stream.release_ahead(session.id, entries), "handing jobs back")

    async def close(self) -> None:
        """Gives up what could not be handed back."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _drop_files(self, jobs: Iterable[_Held]) -> None:
        if self.files is not None:
            for held in jobs:
                self.files.drop(held.job.id)

    def _watch(self) -> None:
        """Begins to wait anew for a slot to be free."""
        if self._timer is not None:
            self._timer.cancel()
        patience_s, mean_s = self._most_s, self._means_s.get(self._last, 0.0)
        if self._waits_for_files(mean_s):
            patience_s = max(patience_s, 2 * mean_s)
        self._timer = asyncio.get_running_loop().call_later(patience_s, self._is_late) if self._jobs else None

    def _is_late(self) -> None:
        self._timer = None
        if self._jobs:
            self.hand_back()
