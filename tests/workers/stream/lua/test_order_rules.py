"""Random pushes of three priorities by three names, claims, ends, crashes and cancels: the order's rules hold."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.stream.actions import age, make_due, new, sweep
from tests.workers.stream.lua.test_order import outstanding
from workers.stream import PRIORITIES, Claimed, Finish, JobOptions, PipelinedRedis, Priority, Stream, StreamSettings
from workers.stream.link.connection import connect

if TYPE_CHECKING:
    from tests.servers import Server

NAMES = ("ann", "bob", "cid")
WORKERS = ("one", "two")
LATER_MS = 3_600_000
LOW_EVERY = 10

pushes = st.tuples(
    st.just("push"), st.sampled_from([*PRIORITIES, None, None]), st.sampled_from(NAMES), st.integers(1, 4)
)
delays = st.tuples(st.just("delay"), st.sampled_from(PRIORITIES), st.sampled_from(NAMES), st.just(1))
others = st.tuples(
    st.sampled_from(["claim"] * 5 + ["finish", "finish", "fail", "cancel", "release", "again", "crash", "due"]),
    st.none(), st.sampled_from(WORKERS), st.integers(0, 20),
)  # fmt: skip


@dataclass(eq=False)
class _Waiting:
    id: str
    name: str
    priority: Priority
    place: int
    is_back: bool = False  # handed back


class _Run:
    """The queue, and what is known of its jobs."""

    def __init__(self, stream: Stream, takes_turns: bool) -> None:
        self.stream = stream
        self.takes_turns = takes_turns
        self.numbers = itertools.count()
        self.jobs: dict[str, _Waiting] = {}
        self.waiting: dict[str, _Waiting] = {}
        self.delayed: dict[str, _Waiting] = {}
        self.running: dict[str, list[Claimed]] = {worker: [] for worker in WORKERS}
        self.passed = 0  # claims since the last of a low job
        self.ended: list[str] = []
        self.turns: dict[str, dict[str, set[str]]] = {}  # by priority and name that waits: who was taken since its turn

    async def do(self, step: str, priority: Priority | None, name: str, number: int) -> None:
        match step:
            case "push" | "delay":
                await self.push(priority, name, number, LATER_MS if step == "delay" else 0)
            case "claim":
                await self.claim(name, number)
            case "due":
                await make_due(self.stream, *self.delayed)
                await sweep(self.stream)
                for job_id in sorted(self.delayed):
                    self.line_up(self.delayed.pop(job_id))
            case "cancel":
                for job_id in list(self.waiting)[number : number + 1]:
                    assert await self.stream.cancel(job_id) == "cancelled"
                    del self.waiting[job_id]
                    self.ended.append(job_id)
            case _ if self.running[name]:
                await self.end(step, name, self.running[name].pop(number % len(self.running[name])))

    async def push(self, priority: Priority | None, name: str, count: int, defer_ms: int) -> None:
        options = JobOptions(priority=priority)
        jobs = [
            new(f"job{next(self.numbers):03}", owner=name, defer_ms=defer_ms, options=options) for _ in range(count)
        ]
        assert {one.outcome for one in await self.stream.push_many(jobs)} == {"accepted"}
        for job in jobs:
            one = self.jobs[job.id] = _Waiting(job.id, name, priority or "normal", 0)
            if defer_ms:
                self.delayed[job.id] = one
            else:
                self.line_up(one)

    def line_up(self, job: _Waiting) -> None:
        job.place, job.is_back = next(self.numbers), False
        self.waiting[job.id] = job

    def hand_back(self, job: _Waiting) -> None:
        job.is_back = True
        self.waiting[job.id] = job

    async def claim(self, worker: str, count: int) -> None:
        jobs = await self.stream.claim(worker, count)
        assert len(jobs) == min(count, len(self.waiting))
        for job in jobs:
            self.check_order(self.waiting.pop(job.id))
        self.running[worker] += jobs

    def check_order(self, taken: _Waiting) -> None:
        """The rules of the order for a job that was just claimed, while these are `waiting`."""
        rest = {priority: [job for job in self.waiting.values() if job.priority == priority] for priority in PRIORITIES}
        if taken.priority == "low":
            assert self.passed >= LOW_EVERY - 1 or not (rest["high"] or rest["normal"])
            self.passed = 0
        else:
            assert taken.priority == "high" or not rest["high"]
            self.passed += 1
            assert self.passed < 2 * LOW_EVERY or not rest["low"]
        alike = [job for job in rest[taken.priority] if taken.name == job.name or not self.takes_turns]
        if not taken.is_back:
            assert all(taken.place < job.place for job in alike if not job.is_back)
        elif taken.priority != "normal":
            assert all(taken.place < job.place for job in alike)
        if self.takes_turns and taken.priority != "normal":
            self.check_turns(taken, {job.name for job in rest[taken.priority]})

    def check_turns(self, taken: _Waiting, names: set[str]) -> None:
        """While others of its priority wait, a name is not taken twice before each of them is.

        Normal jobs may come from the front of the queue, too, where there are no turns.
        """
        turns = self.turns.setdefault(taken.priority, {})
        for name in list(turns):
            if name not in names:
                del turns[name]
        turns[taken.name] = set()
        for name in names - {taken.name}:
            passed_by = turns.setdefault(name, set())
            assert taken.name not in passed_by
            passed_by.add(taken.name)

    async def end(self, step: str, worker: str, job: Claimed) -> None:
        match step:
            case "finish" | "fail":
                status: Any = "finished" if step == "finish" else "failed"
                assert await self.stream.finish(worker, [Finish(job.id, job.attempt, status, b"{}", 60_000)]) == [True]
                self.ended.append(job.id)
                return
            case "release":
                assert await self.stream.release(worker, [(job.id, job.attempt)]) == 1
            case "again":
                assert await self.stream.defer(worker, job.id, job.attempt, 0)
            case "crash":
                await age(self.stream, worker, job.entry)
                await sweep(self.stream)
        self.hand_back(self.jobs[job.id])

    async def check_counters(self) -> None:
        lag, pending = await outstanding(self.stream)
        assert lag + pending == len(self.waiting) + sum(map(len, self.running.values()))

    async def drain(self) -> None:
        await self.do("due", None, "", 0)
        for worker in WORKERS:
            while self.running[worker] or (worker == "two" and self.waiting):
                await self.claim(worker, 3)
                while self.running[worker]:
                    await self.end("finish", worker, self.running[worker].pop())
                await self.check_counters()
        assert sorted(self.ended) == sorted(self.jobs)
        assert await self.stream.claim("two", 1) == []


def test_the_rules_of_the_order_hold_and_no_job_is_lost_or_claimed_twice(server: Server) -> None:
    with asyncio.Runner() as runner:
        redis = connect(server.url, 30, PipelinedRedis)

        @settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)
        @given(st.lists(st.one_of(pushes, pushes, delays, others, others, others), max_size=60), st.booleans())
        def holds(steps: list[tuple[str, Priority | None, str, int]], takes_turns: bool) -> None:
            async def run() -> None:
                queue = StreamSettings(
                    redis_url=server.url, queue_name=f"order-{uuid.uuid4().hex}", redis_timeout_s=30,
                    fair_turns=takes_turns,
                )  # fmt: skip
                stream = Stream(queue, redis)
                await stream.open()
                state = _Run(stream, takes_turns)
                for step in steps:
                    await state.do(*step)
                    await state.check_counters()
                await state.drain()

            runner.run(run())

        try:
            holds()
        finally:
            runner.run(redis.aclose(close_connection_pool=True))
