"""A Hypothesis state machine that does the same to a real stream and to the model, and compares them."""

from __future__ import annotations

import itertools
import sys
import uuid
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.workers.stream.actions import OLD_MS, command, key, make_due, sweep
from tests.workers.stream.lua.queue_model import STATUS, ModelJob, ModelLetter, ModelState, QueueModel
from workers.stream import (
    LIBRARY,
    NO_OPTIONS,
    AheadStart,
    ClaimCall,
    Claimed,
    Finish,
    JobOptions,
    JobView,
    NewJob,
    Stream,
    StreamSettings,
    Telling,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Sequence

    from redis.client import PubSub

    FinishPlan: TypeAlias = tuple[int, bool, int, Any, bool]
    PushPlan: TypeAlias = tuple[int | None, str, str, str, int, str, bytes, bool, JobOptions]

    from workers.stream import PipelinedRedis

T = TypeVar("T")

WORKERS = ("ann", "bob", "cid")
LISTENING = "bob"
GATEWAY = f"{LIBRARY}:gate"
MAX_ATTEMPTS = 3
ATTEMPTS = {"predict": MAX_ATTEMPTS, "fragile": 1}
MAX_BACKLOG = 9
LATER_MS = 3_600_000
ERROR = b'{"type":"ValueError","message":"no"}'

workers = st.sampled_from(WORKERS)
# An index into whatever list the rule picks from, modulo its length.
picks = st.integers(0, 30)
some_picks = st.lists(picks, min_size=1, max_size=3)
pushes = st.tuples(
    st.one_of(st.none(), st.none(), picks),  # the id of a job that was pushed before
    st.sampled_from(["predict", "predict", "fragile"]),
    st.sampled_from(["", "", "", "key a", "key b"]),
    st.sampled_from(["same", "same", "other"]),
    st.sampled_from([0, 0, 0, LATER_MS]),
    st.sampled_from(["", "owner"]),
    st.sampled_from([b"", b'{"n":1}']),
    st.booleans(),  # the push waits
    st.sampled_from([*[NO_OPTIONS] * 3, *[JobOptions(ttl_ms=LATER_MS, tag="a")] * 2, JobOptions(max_attempts=1)]),
)
finishes = st.tuples(
    picks,
    st.sampled_from([True, True, True, False]),  # one of the worker's own jobs, or any
    st.sampled_from([0, 0, 0, 0, -1, 1]),  # added to the attempt
    st.sampled_from(["finished", "failed"]),
    st.sampled_from([True, True, True, False]),  # keep the record
)


def has(*states: ModelState) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """A rule that needs a job in one of these states."""
    return precondition(lambda self: self.model.in_state(*states))


class StreamMachine(RuleBasedStateMachine):
    """Several workers and clients of one queue. Times pass by hand: leases get old, deferred jobs due."""

    def __init__(
        self,
        url: str,
        redis: PipelinedRedis,
        loop: asyncio.AbstractEventLoop,
        ended: PubSub,
        wakeups: PubSub,
        answers: PubSub,
    ) -> None:
        super().__init__()
        settings = StreamSettings(
            redis_url=url,
            queue_name=f"machine-{uuid.uuid4().hex}",
            lease_s=30,
            max_backlog=MAX_BACKLOG,
            redis_timeout_s=30,
        )
        self.stream = Stream(settings, redis)
        self.loop = loop
        self.model = QueueModel(MAX_BACKLOG, LISTENING)
        self.numbers = itertools.count()
        self.ids: list[str] = []
        self.plain: set[tuple[str, str]] = set()  # worker and id of jobs that were plain and have told nothing
        self.letters: list[ModelLetter] = []  # all there ever were
        self.finished_ms: dict[ModelJob, int | None] = {}
        self.ended = ended
        ended.subscribe(key(self.stream, "ended"))  # type: ignore[no-untyped-call]
        self.answers = answers
        answers.subscribe(key(self.stream, f"answer:{GATEWAY}"))  # type: ignore[no-untyped-call]
        self.wakeups = wakeups
        wakeups.subscribe(key(self.stream, f"wake:{LISTENING}"))  # type: ignore[no-untyped-call]
        while (message := wakeups.get_message(timeout=15)) and message["type"] != "subscribe":
            pass
        self.run(self.stream.open())

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """One call to the stream."""
        return self.loop.run_until_complete(call)

    def raw(self, *args: str | float) -> Any:
        """One raw command."""
        return self.run(command(self.stream, *args))

    def pick_id(self, pick: int) -> str:
        """The id of a job that was pushed, or of none."""
        return self.ids[pick % len(self.ids)] if self.ids else "none"

    def pick_id_in(self, state: ModelState, pick: int) -> str:
        """The id of a job in this state, if there is one, or else of any."""
        jobs = self.model.in_state(state)
        return jobs[pick % len(jobs)].new.id if jobs else self.pick_id(pick)

    def pick_running(self, indexes: Sequence[int], worker: str = "", *states: ModelState) -> list[ModelJob]:
        """Some of the jobs that run (or are in these states), or of those that the worker runs."""
        running = [job for job in self.model.in_state(*states or ("running",)) if worker in ("", job.worker)]
        return list(dict.fromkeys(running[index % len(running)] for index in indexes)) if running else []

    # what clients do

    @initialize(count=st.integers(2, 6), worker=workers, claimed=st.integers(1, 4))
    def begin(self, count: int, worker: str, claimed: int) -> None:
        self.push([(None, "predict", "", "same", 0, "", b"", True, NO_OPTIONS)] * count)
        self.claim(worker, claimed)

    @rule(batch=st.lists(pushes, min_size=1, max_size=4))
    def push(self, batch: list[PushPlan]) -> None:
        jobs = []
        for known, function, idempotency_key, fingerprint, defer_ms, owner, kwargs, waits, options in batch:
            number = next(self.numbers)
            job_id = f"job{number}" if known is None else self.pick_id(known)
            args = b"[%d]" % number
            new = NewJob(job_id, args, function, kwargs, owner, idempotency_key, fingerprint, defer_ms)
            jobs.append(new._replace(waits_at=GATEWAY if waits else "", options=options))
        outcomes, handed = self.model.push_many(jobs)
        assert self.run(self.stream.push_many(jobs)) == outcomes
        for job in handed:
            claimed = Claimed.from_message(self.heard(b"run "))
            self.plain.discard((LISTENING, claimed.id))
            assert (claimed.id, claimed.attempt) == (job.new.id, 1)
            self.model.check(claimed)
        self.ids += [o.id for o in outcomes if o.outcome == "accepted" and o.id not in self.ids]

    @rule(pick=picks, state=st.sampled_from(list(STATUS)))
    def cancel(self, pick: int, state: ModelState) -> None:
        job_id = self.pick_id_in(state, pick)
        assert self.run(self.stream.cancel(job_id)) == self.model.cancel(job_id)

    @rule(pick=picks, state=st.sampled_from(["failed", "failed", *STATUS]))
    def retry(self, pick: int, state: ModelState) -> None:
        job_id = self.pick_id_in(state, pick)
        assert self.run(self.stream.retry(job_id)) == self.model.retry(job_id)

    @precondition(lambda self: self.letters)
    @rule(pick=picks)
    def requeue(self, pick: int) -> None:
        letter = self.letters[pick % len(self.letters)]
        assert self.run(self.stream.requeue(letter.entry)) == self.model.requeue(letter)

    # what workers do

    @rule(worker=workers, count=st.integers(1, 4))
    def claim(self, worker: str, count: int) -> None:
        jobs = self.run(self.stream.claim(worker, count, 0, 0, MAX_ATTEMPTS, {"fragile": 1}))
        assert [(job.id, job.attempt) for job in jobs] == self.model.claim(worker, count, ATTEMPTS)
        self.check_claimed(worker, jobs)

    def check_claimed(self, worker: str, jobs: list[Claimed]) -> None:
        """Claimed jobs are what was pushed."""
        for job in jobs:
            self.model.check(job)
            (self.plain.add if job.is_plain else self.plain.discard)((worker, job.id))

    @rule(batch=st.lists(pushes, min_size=1, max_size=3))
    def push_to_one_that_waits(self, batch: list[PushPlan]) -> None:
        while self.model.in_state("waiting", "released"):
            self.claim("ann", MAX_BACKLOG)
        self.register()
        self.claim(LISTENING, 1)
        self.push(batch)

    @rule(worker=workers, batch=st.lists(finishes, min_size=1, max_size=4))
    def finish(self, worker: str, batch: list[FinishPlan]) -> None:
        ends, expected = self.ends_of(worker, batch)
        assert self.run(self.stream.finish(worker, ends)) == expected
        self.answers_agree()

    @has("running")
    @rule(worker=workers, batch=st.lists(finishes, min_size=1, max_size=3), count=st.integers(0, 3))
    def finish_and_claim(self, worker: str, batch: list[FinishPlan], count: int) -> None:
        ends, expected = self.ends_of(worker, batch)
        call = ClaimCall(count, 0, 0, MAX_ATTEMPTS, {"fragile": 1})
        turn = self.run(self.stream.finish_and_claim(worker, ends, call))
        jobs = turn.claimed
        self.answers_agree()
        assert (turn.done, turn.held) == (expected, [])
        assert [(job.id, job.attempt) for job in jobs] == self.model.claim(worker, count, ATTEMPTS)
        self.check_claimed(worker, jobs)

    @rule(worker=workers, count=st.integers(0, 4), known=st.booleans())
    def hold(self, worker: str, count: int, known: bool) -> None:
        mine = [job for job in self.model.in_state("ahead") if job.worker == worker]
        held = len(mine) if mine or known else -1
        turn = self.run(self.stream.finish_and_claim(worker, [], ClaimCall(-1, ahead=count, held=held)))
        assert [job.id for job in turn.held] == self.model.hold(worker, count, held)
        assert all(job.attempt == 1 for job in turn.held)
        for job in turn.held:
            self.model.check(job)

    @rule(worker=workers, count=st.integers(1, 4))
    def hold_while_nobody_is_idle(self, worker: str, count: int) -> None:
        self.push([(None, "predict", "", "same", 0, "", b"", True, NO_OPTIONS)] * count)
        for name in list(self.model.idle):
            self.claim(name, 0)
        self.hold(worker, count, True)

    @has("ahead", "running")
    @rule(chosen=some_picks, by=st.one_of(st.none(), workers), ends=st.booleans(), is_last=st.booleans())
    def start(self, chosen: list[int], by: str | None, ends: bool, is_last: bool) -> None:
        jobs = self.pick_running(chosen, "", "ahead", "running")[: 1 if is_last else 3]
        worker = by or jobs[0].worker
        starts = [AheadStart(job.new.id, self.entry_of(job), 1, 0.0) for job in jobs]
        expected = [self.model.start(worker, job) for job in jobs]
        finishes = [Finish(job.new.id, 1, "finished", b"1", LATER_MS) for job in jobs] if ends else []
        done = [self.model.finish(worker, finish.id, 1, "finished", b"1", True) for finish in finishes]
        turn = self.run(self.stream.finish_and_claim(worker, finishes, starts=starts))
        assert (turn.started, turn.done, turn.claimed, turn.held) == (expected, done, [], [])
        self.answers_agree()

    @has("ahead")
    @rule(chosen=some_picks, by=st.one_of(st.none(), workers))
    def release_ahead(self, chosen: list[int], by: str | None) -> None:
        jobs = self.pick_running(chosen, "", "ahead")
        worker = by or jobs[0].worker
        held = [(job.new.id, self.entry_of(job)) for job in jobs]
        assert self.run(self.stream.release_ahead(worker, held)) == self.model.release_ahead(worker, jobs)

    def entry_of(self, job: ModelJob) -> str:
        """The entry of a job in the stream."""
        return str((self.raw("HGET", key(self.stream, f"job:{job.new.id}"), "entry")).decode())

    def ends_of(self, worker: str, batch: list[FinishPlan]) -> tuple[list[Finish], list[bool]]:
        """Finishes, and what the model says to each."""
        ends, expected = [], []
        for pick, is_own, added, status, keep in batch:
            own = self.pick_running([pick], worker) if is_own else []
            job_id = own[0].new.id if own else self.pick_id(pick)
            job = self.model.records.get(job_id)
            attempt = (job.attempts if job else 1) + added
            body = b"%d" % next(self.numbers) if status == "finished" else ERROR
            is_plain = attempt == 1 and (worker, job_id) in self.plain
            ends.append(Finish(job_id, attempt, status, body, LATER_MS if keep else 0, b"", is_plain))
            expected.append(self.model.finish(worker, job_id, attempt, status, body, keep))
        return ends, expected

    def answers_agree(self) -> None:
        """Whoever waits was sent what there is to see."""
        for job_id in self.model.answers:
            answer = JobView.from_answer(self.next_answer())
            assert answer.id == job_id
            assert answer == self.run(self.stream.view_small(job_id))
        self.model.answers.clear()

    @has("running")
    @rule(pick=picks, keep=st.sampled_from([True, True, False]))
    def fail(self, pick: int, keep: bool) -> None:
        [job] = self.pick_running([pick])
        index = self.pick_running(range(30), job.worker).index(job)
        self.finish(job.worker, [(index, True, 0, "failed", keep)])

    @has("running")
    @rule(pick=picks, by=st.one_of(st.none(), workers), added=st.sampled_from([0, 0, 0, -1]), at_once=st.booleans())
    def defer(self, pick: int, by: str | None, added: int, at_once: bool) -> None:
        for job in self.pick_running([pick]):
            call = (by or job.worker, job.new.id, job.attempts + added, 0 if at_once else LATER_MS)
            assert self.run(self.stream.defer(*call)) == self.model.defer(*call)

    @has("running")
    @rule(chosen=some_picks, by=st.one_of(st.none(), workers), added=st.sampled_from([0, 0, 0, 1]))
    def tell(self, chosen: list[int], by: str | None, added: int) -> None:
        for job in self.pick_running(chosen):
            worker, attempt, value = by or job.worker, job.attempts + added, b"%d" % next(self.numbers)
            self.plain.discard((worker, job.new.id))
            first = len(job.told) if job.told_in == job.run else 1
            telling = Telling(job.new.id, attempt, first, [("log", value)])
            assert self.run(self.stream.tell(worker, [telling])) == [
                self.model.tell(worker, job.new.id, attempt, value)
            ]
            self.events_agree(job.new.id)

    @has("running")
    @rule(pick=picks, by=st.one_of(st.none(), workers), added=st.sampled_from([0, 0, 0, -1]))
    def put_off(self, pick: int, by: str | None, added: int) -> None:
        for job in self.pick_running([pick]):
            call = (by or job.worker, job.new.id, job.attempts + added)
            waits_ms = self.run(self.stream.put_off(*call, LATER_MS / 1000, LATER_MS / 1000, LATER_MS))
            assert (waits_ms > 0) == self.model.put_off(*call)

    @has("running")
    @rule(worker=workers, chosen=some_picks)
    def release(self, worker: str, chosen: list[int]) -> None:
        jobs = self.pick_running(chosen)
        marks = [(job.new.id, job.attempts) for job in jobs]
        own = [job for job in jobs if job.worker == worker]
        assert self.run(self.stream.release(worker, marks)) == self.model.release(own)

    @has("running")
    @rule(worker=workers, known=some_picks)
    def lose_the_reply_of_a_claim(self, worker: str, known: list[int]) -> None:
        keep = self.pick_running(known, worker)
        marks = [(job.new.id, job.attempts) for job in keep]
        assert len(self.run(self.stream.release_unknown(worker, marks))) == self.model.release_unknown(worker, keep)

    @rule()
    def register(self) -> None:
        self.run(self.stream.register(LISTENING, LATER_MS / 1000, {"takes": LIBRARY, "running": 0}))
        self.model.register()

    @rule(worker=workers)
    def leave(self, worker: str) -> None:
        self.run(self.stream.leave(worker))
        self.model.leave(worker)

    @has("running")
    @rule(worker=workers, chosen=some_picks, added=st.sampled_from([0, 0, 0, 1]))
    def renew(self, worker: str, chosen: list[int], added: int) -> None:
        marks = [(job.new.id, job.attempts + added) for job in self.pick_running(chosen)]
        marks.append((self.pick_id(chosen[0]), 1))
        held = [self.model.held(worker, *mark) for mark in marks]
        lost = self.run(self.stream.renew(worker, marks))
        assert lost == [job_id for (job_id, _), job in zip(marks, held, strict=True) if job is None]
        for job in held:
            if job is not None:
                job.is_old = False

    # what time brings about

    @has("running", "ahead")
    @rule(chosen=some_picks)
    def leases_get_old(self, chosen: list[int]) -> None:
        for job in self.pick_running(chosen, "", "running", "ahead"):
            self.make_old(job)

    @rule(pick=picks)
    def a_ttl_is_over(self, pick: int) -> None:
        if with_ttl := [job for job in self.model.records.values() if job.has_ttl]:
            job = with_ttl[pick % len(with_ttl)]
            self.raw("ZADD", key(self.stream, "expiring"), "XX", 0, job.new.id)
            job.is_late = True

    def make_old(self, job: ModelJob) -> None:
        entry = self.raw("HGET", key(self.stream, f"job:{job.new.id}"), "entry")
        self.raw("XCLAIM", key(self.stream, "stream"), "workers", job.worker, 0, entry, "IDLE", OLD_MS)
        job.is_old = True

    @rule(chosen=st.lists(picks, max_size=3))
    def sweep(self, chosen: list[int]) -> None:
        deferred = [job.new.id for job in self.model.in_state("deferred")]
        due = list({deferred[index % len(deferred)] for index in chosen}) if deferred else []
        self.sweep_with(due)

    def sweep_with(self, due: list[str]) -> None:
        self.run(make_due(self.stream, *due))
        self.run(sweep(self.stream))
        self.model.sweep(due)

    @has("finished", "failed", "cancelled")
    @rule(pick=picks)
    def a_record_expires(self, pick: int) -> None:
        if ended := [job_id for job_id, job in self.model.records.items() if job.ended]:
            job_id = ended[pick % len(ended)]
            self.raw("DEL", key(self.stream, f"job:{job_id}"))
            self.raw("DEL", key(self.stream, f"events:{job_id}"))
            del self.model.records[job_id]

    @precondition(lambda self: self.model.idempotency)
    @rule(pick=picks)
    def an_idempotency_key_expires(self, pick: int) -> None:
        keys = sorted(self.model.idempotency)
        name = keys[pick % len(keys)]
        self.raw("DEL", key(self.stream, f"idempotency:{name}"))
        del self.model.idempotency[name]

    # what must be true at all times

    @invariant()
    def counters_agree(self) -> None:
        assert self.run(self.stream.counts()) == self.model.counts()

    @invariant()
    def dead_letters_agree(self) -> None:
        if not self.model.letters:
            return
        found = self.run(self.stream.dead_letters())
        assert len(found) == len(self.model.letters)
        for letter, mine in zip(found, self.model.letters, strict=True):
            if not mine.entry:
                mine.entry = letter.entry
                self.letters.append(mine)
            new = mine.new
            assert letter.entry == mine.entry
            assert (letter.id, letter.function, letter.args, letter.kwargs, letter.owner) == (
                new.id, new.function, new.args, new.kwargs, new.owner,
            )  # fmt: skip
            assert (letter.attempts, letter.error["type"]) == (mine.attempts, mine.error)

    @invariant()
    def records_agree_and_results_never_change(self) -> None:
        views = self.run(self.stream.view_many([(job_id, True) for job_id in self.ids])) if self.ids else []
        for job_id, view in zip(self.ids, views, strict=True):
            job = self.model.records.get(job_id)
            assert (view is None) == (job is None)
            if view is None or job is None:
                continue
            assert (view.status, view.attempts, view.owner) == (job.status, job.attempts, job.new.owner)
            assert view.options == job.new.options
            assert view.result == job.result
            assert (view.error and view.error["type"]) == (job.error or None)
            if view.ahead is not None:
                assert not job.ended
                assert self.model.ahead(job) <= view.ahead
                assert view.ahead <= self.model.counts().outstanding
            if job.ended:
                assert self.finished_ms.setdefault(job, view.finished_ms) == view.finished_ms
                assert view.finished_ms is not None
                assert view.finished_ms >= view.queued_ms

    def events_agree(self, job_id: str) -> None:
        job = self.model.records.get(job_id)
        events = self.run(self.stream.events(job_id))
        assert [(event.kind, event.value) for event in events] == (job.told if job else [])
        assert [event.number for event in events] == list(range(len(events)))

    # what must be true in the end

    def teardown(self) -> None:
        """Drains the queue: every accepted job has ended once, as those who listened were told, and none is left."""
        try:
            if sys.exc_info()[0] is None:
                self.check_the_end()
        finally:
            self.ended.unsubscribe()  # type: ignore[no-untyped-call]
            self.wakeups.unsubscribe()  # type: ignore[no-untyped-call]
            self.answers.unsubscribe()  # type: ignore[no-untyped-call]

    def check_the_end(self) -> None:
        self.drain()
        counts = self.run(self.stream.counts())
        assert (counts.length, counts.waiting, counts.pending, counts.deferred) == (0, 0, 0, 0)
        assert len(self.model.ends) == self.model.accepted
        self.dead_letters_agree()
        self.records_agree_and_results_never_change()
        assert self.told() == self.model.ends
        self.raw("PUBLISH", key(self.stream, f"wake:{LISTENING}"), "run that is all")
        assert self.heard(b"run ") == b"that is all", "it was handed no more than the model says"
        self.raw("PUBLISH", key(self.stream, f"answer:{GATEWAY}"), "that is all")
        assert self.next_answer() == b"that is all", "nothing was sent for which nobody waits"
        for job_id in self.ids:
            self.events_agree(job_id)
            if job_id in self.model.records:
                assert self.raw("PTTL", key(self.stream, f"job:{job_id}")) > 0

    def drain(self) -> None:
        for _ in range(50):
            if not self.model.counts().outstanding:
                return
            for job in self.model.in_state("running", "ahead"):
                self.make_old(job)
            self.sweep_with([job.new.id for job in self.model.in_state("deferred")])
            self.claim("ann", 4)
            self.finish("ann", [(0, True, 0, "finished", True)] * 4)
            self.counters_agree()
        raise AssertionError("the queue can't be drained")

    def heard(self, command: bytes) -> bytes:
        """The rest of the next such message to the worker that listens."""
        while (message := self.wakeups.get_message(timeout=15)) is not None:
            if message["type"] == "message" and message["data"].startswith(command):
                return bytes(message["data"].removeprefix(command))
        raise AssertionError(f"no {command!r} was heard")

    def next_answer(self) -> bytes:
        """The next message to the gateway."""
        while (message := self.answers.get_message(timeout=15)) is not None:
            if message["type"] == "message":
                return bytes(message["data"])
        raise AssertionError("no answer was heard")

    def told(self) -> list[str]:
        """The ids that were published when jobs ended."""
        self.raw("PUBLISH", key(self.stream, "ended"), "that is all")
        ids: list[str] = []
        while True:
            message = self.ended.get_message(ignore_subscribe_messages=True, timeout=15)
            if message is None or message["channel"] != key(self.stream, "ended").encode():
                continue
            if message["data"] == b"that is all":
                return ids
            ids += message["data"].decode().split(" ")
