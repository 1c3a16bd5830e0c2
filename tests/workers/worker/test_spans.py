"""The spans of a worker's jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from arq.worker import Retry
from opentelemetry.trace import NoOpTracer, StatusCode, get_current_span

from tests.spans import PARENT, TRACE, SpanMemory, about, ids
from tests.workers.service import push, run_burst, until_ended
from workers.stream import JobOptions, NewJob, WorkerView
from workers.worker.spans import Served, waited_for

if TYPE_CHECKING:
    from workers.settings import WorkerSettings
    from workers.stream import Stream


@pytest.mark.parametrize(
    ("served", "seconds"),
    [
        (Served(10_000, 40_000), [10, 30, 1]),
        (Served(0, 40_000), [0, 40, 1]),
        (Served(0, 0), [0, 0, 41]),
        (Served(50_000, 60_000), [41, 0, 0]),
        (Served(30_000, 20_000), [30, 0, 11]),
    ],
)
def test_a_wait_is_for_no_worker_then_for_one_that_starts_then_for_those_that_are_busy(
    served: Served, seconds: list[float]
) -> None:
    found = waited_for(0, 41_000, served)

    assert list(found) == ["no_worker", "starting", "busy"]
    assert list(found.values()) == seconds
    assert sum(seconds) == 41


def test_the_earliest_worker_counts_and_one_that_is_not_ready_counts_as_starting() -> None:
    others = [
        WorkerView("w-1", {"starting_since": "5", "ready_since": "0"}),
        WorkerView("w-2", {"starting_since": "7", "ready_since": "20"}),
        WorkerView("w-3", {}),
    ]

    assert Served(10, 40).with_others(others) == Served(5, 20)
    assert Served(10, 40).with_others([]) == Served(10, 40)


async def test_a_job_that_was_pushed_before_its_worker_came_waited_for_no_worker(
    one_stream: Stream, one_settings: WorkerSettings
) -> None:
    async def work(ctx: dict[str, Any]) -> None: ...

    memory = SpanMemory()
    await push(one_stream, work.__qualname__)
    await run_burst(one_settings, [work], tracer=memory.tracer)

    [wait] = memory.named("wait")
    parts_s = [about(wait).get(f"leadtime.wait.{what}_s", 0.0) for what in ("no_worker", "starting", "busy")]
    assert wait.end_time is not None
    assert wait.start_time is not None
    assert sum(parts_s) == pytest.approx((wait.end_time - wait.start_time) / 1e9, abs=0.002)


async def test_each_attempt_is_a_span_of_the_pushs_trace(one_stream: Stream, one_settings: WorkerSettings) -> None:
    seen: list[str] = []

    async def unlucky(ctx: dict[str, Any]) -> None:
        seen.append(f"{get_current_span().get_span_context().span_id:016x}")
        if ctx["job_try"] == 1:
            raise Retry(defer=0)

    memory = SpanMemory()
    options = JobOptions(traceparent=f"00-{TRACE}-{PARENT}-01")
    await one_stream.push(NewJob("job-7", b"[]", unlucky.__qualname__, options=options))
    await run_burst(one_settings, [unlucky], tracer=memory.tracer)
    await until_ended(one_stream, "job-7")

    first, second = memory.named("process")
    assert [ids(span) for span in (first, second)] == [(TRACE, PARENT, seen[0]), (TRACE, PARENT, seen[1])]
    assert [about(span)["leadtime.attempt"] for span in (first, second)] == [1, 2]
    assert [about(span)["leadtime.outcome"] for span in (first, second)] == ["retried", "finished"]
    assert (about(first)["error.type"], first.status.status_code) == ("Retry", StatusCode.ERROR)
    assert second.status.status_code is StatusCode.UNSET
    assert len(memory.named("wait")) == 1


async def test_a_job_without_a_trace_begins_one(one_stream: Stream, one_settings: WorkerSettings) -> None:
    traces: list[str] = []

    async def work(ctx: dict[str, Any]) -> None:
        traces.append(ctx["traceparent"])

    memory = SpanMemory()
    await push(one_stream, work.__qualname__)
    await run_burst(one_settings, [work], tracer=memory.tracer)

    [attempt] = memory.named("process")
    trace, parent, span = ids(attempt)
    assert ([one[:-3] for one in traces], parent) == ([f"00-{trace}-{span}"], "")


async def test_a_job_that_a_job_enqueues_is_part_of_its_trace(one_stream: Stream, one_settings: WorkerSettings) -> None:
    async def parent(ctx: dict[str, Any]) -> None:
        await ctx["redis"].enqueue_job(child.__qualname__)

    async def child(ctx: dict[str, Any]) -> None: ...

    memory = SpanMemory()
    await push(one_stream, parent.__qualname__)
    await run_burst(one_settings, [parent, child], tracer=memory.tracer)

    above, below = sorted(memory.named("process"), key=lambda span: span.start_time or 0)
    assert ids(below)[:2] == (ids(above)[0], ids(above)[2])


async def test_a_tracer_that_does_nothing_leaves_jobs_as_they_are(
    one_stream: Stream, one_settings: WorkerSettings
) -> None:
    seen: list[str] = []

    async def work(ctx: dict[str, Any]) -> None:
        seen.append(ctx["traceparent"])

    await push(one_stream, work.__qualname__)
    await run_burst(one_settings, [work], tracer=NoOpTracer())

    assert seen == [""]
