"""What the stream is meant to do, in plain Python: jobs in dictionaries and lists, no server, no time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from workers.stream import Claimed, Counts, NewJob, Pushed, Status

ModelState = Literal["waiting", "ahead", "running", "released", "deferred", "finished", "failed", "cancelled"]
OUTSTANDING: tuple[ModelState, ...] = ("waiting", "ahead", "running", "released", "deferred")
STATUS: dict[ModelState, Status] = {
    "waiting": Status.QUEUED,
    "ahead": Status.QUEUED,
    "released": Status.QUEUED,
    "deferred": Status.QUEUED,
    "running": Status.PROCESSING,
    "finished": Status.FINISHED,
    "failed": Status.FAILED,
    "cancelled": Status.CANCELLED,
}


@dataclass(eq=False)
class ModelJob:
    """A job's record, as far as users can tell. `place` is its entry's, in the order of entries."""

    new: NewJob
    state: ModelState
    place: int = 0
    attempts: int = 0
    worker: str = ""
    is_old: bool = False
    result: bytes | None = None
    error: str = ""
    letter: ModelLetter | None = None
    run: int = 0  # counts its claims
    told: list[tuple[str, bytes]] = field(default_factory=list)
    told_in: int = 0  # the run that told these
    is_waited_for: bool = False  # at the gateway that its push named
    is_scheduled: bool = False
    has_ttl: bool = False  # that is still looked at
    is_late: bool = False  # its ttl is over

    @property
    def status(self) -> Status:
        """As users see it."""
        return Status.SCHEDULED if self.is_scheduled and self.state == "deferred" else STATUS[self.state]

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state not in OUTSTANDING


@dataclass(eq=False)
class ModelLetter:
    """A dead letter."""

    new: NewJob
    attempts: int
    error: str
    entry: str = ""


@dataclass
class QueueModel:
    """The queue. `ends` has the ids of jobs in the order of their ends; `accepted` counts what must end.

    `answers` has those of them whose end is sent to the gateway at which the push waits.
    `aheads` is how many jobs each worker last said that it holds ahead.
    One worker is `listening`; it takes jobs that are handed over while it is `registered` and not `busy`.
    """

    max_backlog: int
    listening: str
    registered: bool = False
    busy: bool = False
    records: dict[str, ModelJob] = field(default_factory=dict)
    idempotency: dict[str, tuple[str, str]] = field(default_factory=dict)
    letters: list[ModelLetter] = field(default_factory=list)
    idle: set[str] = field(default_factory=set)
    aheads: dict[str, int] = field(default_factory=dict)
    ends: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    accepted: int = 0
    places: int = 0

    def in_state(self, *states: ModelState) -> list[ModelJob]:
        """Jobs in these states, in the order of their entries."""
        return sorted((job for job in self.records.values() if job.state in states), key=lambda job: job.place)

    def counts(self) -> Counts:
        """What `Stream.counts` must say."""
        number = {state: len(self.in_state(state)) for state in STATUS}
        pending = number["running"] + number["released"] + number["ahead"]
        return Counts(
            length=number["waiting"] + pending,
            waiting=number["waiting"],
            pending=pending,
            released=number["released"],
            deferred=number["deferred"],
            dead=len(self.letters),
            idle_workers=len(self.idle),
            workers=int(self.registered),
            ahead=sum(self.aheads.values()),
        )

    def ahead(self, job: ModelJob) -> int:
        """How many jobs are claimed before this one, if nothing else happens."""
        if job.state == "deferred":
            return len(self.in_state("waiting", "ahead", "running", "released"))
        if job.state == "ahead":
            return 0
        queue = self.in_state("released") + self.in_state("waiting")
        return queue.index(job)

    def push(self, new: NewJob) -> Pushed:
        """Accepts a job, unless its idempotency key or id is known or the backlog is full."""
        fingerprint, job_id = self.idempotency.get(new.idempotency_key, ("", ""))
        if job_id in self.records:
            return Pushed("existing", job_id) if fingerprint == new.fingerprint else Pushed("conflict", new.id)
        if new.id in self.records:
            return Pushed("existing", new.id)
        if len(self.in_state(*OUTSTANDING)) >= self.max_backlog:
            return Pushed("full", new.id)
        if new.idempotency_key:
            self.idempotency[new.idempotency_key] = (new.fingerprint, new.id)
        self.accepted += 1
        job = ModelJob(new, "deferred", is_waited_for=bool(new.waits_at), is_scheduled=new.defer_ms > 0)
        self.records[new.id] = job
        job.has_ttl = bool(new.options.ttl_ms)
        if not new.defer_ms:
            self._append(job)
        return Pushed("accepted", new.id)

    def _append(self, job: ModelJob) -> None:
        self.places += 1
        job.place, job.state, job.is_scheduled = self.places, "waiting", False

    def wake(self, count: int) -> None:
        """All have been ready for as long, so it is the names' order; a wake-up for who doesn't listen goes on."""
        while count > 0 and self.idle:
            count -= self._pop_idle() == self.listening

    def _pop_idle(self) -> str:
        name = min(self.idle)
        self.idle.remove(name)
        return name

    def push_many(self, jobs: list[NewJob]) -> tuple[list[Pushed], list[ModelJob]]:
        """Pushes in one step; what became of each, and the jobs that were handed over."""
        outcomes: list[Pushed] = []
        handed: list[ModelJob] = []
        is_empty = not self.in_state("waiting", "released")
        to_wake = 0
        for new in jobs:
            outcomes.append(self.push(new))
            if outcomes[-1].outcome != "accepted" or new.defer_ms:
                continue
            to_wake += 1
            while is_empty and self.idle:
                if self._pop_idle() == self.listening:
                    is_empty = self.registered and not self.busy
                    to_wake -= 1
                    if is_empty:
                        handed.append(self._hand_over(self.records[new.id]))
                    break
            else:
                is_empty = False
        self.wake(to_wake)
        return outcomes, handed

    def _hand_over(self, job: ModelJob) -> ModelJob:
        job.run += 1
        job.state, job.worker, job.attempts, job.is_old = "running", self.listening, 1, False
        self.busy = True
        return job

    def register(self) -> None:
        """The worker that listens says that it runs nothing."""
        self.registered, self.busy = True, False

    def leave(self, worker: str) -> None:
        """A worker's goodbye."""
        waiting = bool(self.in_state("waiting"))
        self.idle.discard(worker)
        if worker == self.listening:
            self.registered = False
        self.release_unknown(worker, [])
        self.wake(waiting)

    def claim(self, worker: str, count: int, max_attempts: dict[str, int]) -> list[tuple[str, int]]:
        """Starts jobs: (id, attempt) of each. Those without an attempt left are failed instead."""
        taken: list[tuple[str, int]] = []
        for job in self.in_state("released") + self.in_state("waiting"):
            if len(taken) == count:
                break
            if job.attempts >= (job.new.options.max_attempts or max_attempts[job.new.function]):
                self._fail(job, worker, "AttemptsExhausted")
                continue
            if job.is_late and not job.attempts:
                self._fail(job, worker, "Expired")
                continue
            job.state, job.worker, job.is_old = "running", worker, False
            job.attempts += 1
            job.run += 1
            taken.append((job.new.id, job.attempts))
        if len(taken) < count:
            self.idle.add(worker)
            if others := self.aheads.keys() - {worker}:
                holder = max(others, key=lambda name: (self.aheads[name], name))
                if holder != self.listening:
                    del self.aheads[holder]
        else:
            self.idle.discard(worker)
        if worker == self.listening:
            self.busy = bool(taken)
        return taken

    def hold(self, worker: str, count: int, held: int) -> list[str]:
        """Has a worker hold jobs ahead, unless a worker is idle or a job is released; their ids.

        The first one with an earlier attempt or without time left, and those behind it, are released.
        """
        taken: list[str] = []
        count = count if self.in_state("waiting") else 0
        may = count > 0 and not self.idle and not self.in_state("released")
        is_over = False
        for job in self.in_state("waiting")[:count] if may else ():
            is_over = is_over or job.attempts > 0 or job.is_late
            job.state, job.worker, job.is_old = ("released", "", False) if is_over else ("ahead", worker, False)
            taken += [] if is_over else [job.new.id]
        if count > 0 or held >= 0:
            self.aheads[worker] = max(0, held) + len(taken)
            if not self.aheads[worker]:
                del self.aheads[worker]
        return taken

    def start(self, worker: str, job: ModelJob) -> bool:
        """Begins a job that the worker holds ahead; recognizes a start that is told a second time."""
        if job.state == "ahead" and job.worker == worker and not job.is_late:
            job.state, job.attempts = "running", 1
            job.run += 1
            return True
        return self.held(worker, job.new.id, 1) is not None

    def release_ahead(self, worker: str, jobs: list[ModelJob]) -> int:
        """Hands back what the worker holds ahead."""
        own = [job for job in jobs if job.state == "ahead" and job.worker == worker]
        for job in own:
            job.state, job.worker = "released", ""
        self.aheads.pop(worker, None)
        self.wake(len(own))
        return len(own)

    def release_unknown(self, worker: str, known: list[ModelJob]) -> int:
        """Hands back what the worker holds, but for what it knows of."""
        mine = [job for job in self.in_state("running", "ahead") if job.worker == worker and job not in known]
        for job in mine:
            job.attempts -= job.state == "running"
            job.state, job.worker = "released", ""
        self.aheads.pop(worker, None)
        self.wake(len(mine))
        return len(mine)

    def _end(self, job: ModelJob, state: ModelState) -> None:
        job.state = state
        if job.told:
            self._begin_events(job)
            job.told.append(("end", b'"%s"' % state.encode()))
        self.ends.append(job.new.id)

    def _fail(self, job: ModelJob, worker: str, error: str) -> None:
        job.worker, job.error = worker, error
        job.letter = ModelLetter(job.new, job.attempts, error)
        self.letters.append(job.letter)
        self._end(job, "failed")

    def held(self, worker: str, job_id: str, attempt: int) -> ModelJob | None:
        """The job, if the worker runs this attempt of it."""
        job = self.records.get(job_id)
        if job and (job.state, job.worker, job.attempts) == ("running", worker, attempt):
            return job
        return None

    def finish(self, worker: str, job_id: str, attempt: int, status: str, body: bytes, keep: bool) -> bool:
        """Ends a job that the worker holds; recognizes an end that is told a second time."""
        job = self.held(worker, job_id, attempt)
        if job is None:
            ended = self.records.get(job_id)
            return ended is not None and (ended.state, ended.worker, ended.attempts) == (status, worker, attempt)
        if status == "finished":
            job.result = body
            self._end(job, "finished")
        else:
            self._fail(job, worker, "ValueError")
        if not keep:
            del self.records[job_id]
        elif job.is_waited_for:
            self.answers.append(job_id)
        return True

    def tell(self, worker: str, job_id: str, attempt: int, value: bytes) -> bool:
        """Appends a log line to the events of a job that the worker holds."""
        job = self.held(worker, job_id, attempt)
        if job is None:
            return False
        self._begin_events(job)
        job.told.append(("log", value))
        return True

    def _begin_events(self, job: ModelJob) -> None:
        if job.told_in != job.run:
            job.told, job.told_in = [("begin", b"%d" % job.attempts)], job.run

    def defer(self, worker: str, job_id: str, attempt: int, defer_ms: int) -> bool:
        """Lets a job be claimed again, at once or when it is due."""
        job = self.held(worker, job_id, attempt)
        if job is None:
            return False
        job.state = "deferred" if defer_ms else "released"
        job.worker = ""
        self.wake(0 if defer_ms else 1)
        return True

    def put_off(self, worker: str, job_id: str, attempt: int) -> bool:
        """Lets a job be claimed again when it is due, uncounted."""
        job = self.held(worker, job_id, attempt)
        if job is None:
            return False
        job.state, job.worker = "deferred", ""
        job.attempts -= 1
        return True

    def release(self, jobs: list[ModelJob]) -> int:
        """Hands jobs back, uncounted."""
        for job in jobs:
            job.state, job.worker = "released", ""
            job.attempts -= 1
        self.wake(len(jobs))
        return len(jobs)

    def sweep(self, due: list[str]) -> None:
        """Expired leases are released, due jobs return (all were due at the same time: in the order of ids)."""
        for job_id in sorted(due):
            self._append(self.records[job_id])
        for job_id in sorted(job_id for job_id, job in self.records.items() if job.is_late):
            self._expire(self.records[job_id])
        for job in self.in_state("running", "ahead"):
            if job.is_old:
                job.state, job.worker = "released", ""
        self.wake(len(self.in_state("waiting", "released")))

    def _expire(self, job: ModelJob) -> None:
        job.is_late = False
        if job.state == "running" and job.attempts == 1:
            return
        job.has_ttl = False
        if not job.ended and job.state != "running" and not job.attempts:
            self._fail(job, "", "Expired")

    def cancel(self, job_id: str) -> str:
        """Ends a job that has not ended."""
        job = self.records.get(job_id)
        if job is None:
            return "missing"
        if not job.ended:
            job.worker, job.has_ttl, job.is_late = "", False, False
            self._end(job, "cancelled")
        return job.state

    def retry(self, job_id: str) -> str:
        """Lets a failed job run again."""
        job = self.records.get(job_id)
        if job is None:
            return "missing"
        if job.letter is None or job.state != "failed":
            return str(STATUS[job.state])
        self.revive(job.letter)
        return "retried"

    def requeue(self, letter: ModelLetter) -> bool:
        """Lets a dead letter's job run again, unless a job with this id lives or has ended otherwise."""
        job = self.records.get(letter.new.id)
        if letter not in self.letters or (job is not None and (job.state != "failed" or job.letter is not letter)):
            return False
        self.revive(letter)
        return True

    def revive(self, letter: ModelLetter) -> None:
        """A new life of the job, with all its attempts before it."""
        self.letters.remove(letter)
        self.accepted += 1
        job = self.records[letter.new.id] = ModelJob(letter.new, "waiting", has_ttl=bool(letter.new.options.ttl_ms))
        self._append(job)
        self.wake(1)

    def check(self, claimed: Claimed) -> None:
        """A claimed job is what was pushed."""
        new = self.records[claimed.id].new
        assert (claimed.function, claimed.args, claimed.kwargs) == (new.function, new.args, new.kwargs)
        assert claimed.options == new.options
