"""The client on a real gateway and a real server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from gateway.client import (
    AsyncClient,
    CancelledJob,
    ConflictingState,
    FailedJob,
    NotFound,
    RequestRefused,
    UnprocessableInput,
    WaitOver,
)
from tests.gateway.client.answering import answering, claimed, finish
from tests.workers.service import until

if TYPE_CHECKING:
    from workers.stream import Stream


async def test_run_returns_the_data_document(client: AsyncClient, stream: Stream) -> None:
    async with answering(stream):
        document = await client.run("größe")

    assert (document["output"], document["input"]) == ("GRÖSSE", "größe")
    assert document["latency"] >= 0


async def test_a_job_without_a_result_raises_what_became_of_it(client: AsyncClient, stream: Stream) -> None:
    async with answering(stream, lambda _: ValueError("no such voice")):
        with pytest.raises(FailedJob, match="no such voice") as failed:
            await client.run("hello")
    job = await client.submit("hello")
    with pytest.raises(WaitOver) as over:
        await job.result(0.05)
    assert await job.cancel()
    with pytest.raises(CancelledJob):
        await job.result()

    assert (failed.value.type, failed.value.message) == ("ValueError", "no such voice")
    assert over.value.id == job.id
    assert not await client.job(failed.value.id).cancel(), "it had ended before"
    assert (await client.job(failed.value.id).wait())["status"] == "failed"


async def test_a_failed_job_is_retried(client: AsyncClient, stream: Stream) -> None:
    async with answering(stream, lambda _: ValueError("once")):
        job = await client.submit("hello")
        await job.wait()
    await job.retry()
    async with answering(stream):
        assert (await job.result())["output"] == "HELLO"
    with pytest.raises(ConflictingState) as conflict:
        await job.retry()

    assert conflict.value.job_status == "finished"


async def test_what_the_gateway_refuses_has_a_class_of_its_own(client: AsyncClient) -> None:
    await client.submit("hello", idempotency_key="one")
    with pytest.raises(UnprocessableInput, match="Idempotency-Key") as invalid:
        await client.submit("other", idempotency_key="one")
    with pytest.raises(RequestRefused) as refused:
        await client.submit("hello", ttl_s=0)
    with pytest.raises(RequestRefused) as too_large:
        await client.submit("x" * 2000)
    with pytest.raises(NotFound):
        await client.job("0" * 32).status()

    assert (invalid.value.status, invalid.value.errors) == (422, [])
    assert (refused.value.status, refused.value.parameters) == (400, ["ttl"])
    assert too_large.value.status == 413


def test_the_message_of_a_refused_input_says_which_and_why() -> None:
    faults = [{"pointer": "/text", "detail": "this member is missing"}, {"pointer": "", "detail": "it is too long"}]

    refused = UnprocessableInput(422, "the input does not fit", {"index": 3, "errors": faults})

    assert (
        str(refused)
        == "input 3: the input does not fit: /text: this member is missing; the input: it is too long (422)"
    )
    assert refused.detail == "the input does not fit"


async def test_options_go_with_the_push(client: AsyncClient, stream: Stream) -> None:
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    job = await client.submit("x", at=at, tag="nightly", timeout_s=1.5, max_attempts=2, ttl_s=60, priority="low")
    status = await job.status()
    with pytest.raises(ValueError, match="time zone"):
        await client.submit("x", at=datetime(2030, 1, 1))
    with pytest.raises(TypeError, match="prio"):
        await client.submit("x", prio=1)  # type: ignore[call-arg]

    assert (status["status"], status["tag"]) == ("scheduled", "nightly")
    assert datetime.fromisoformat(status["due"]) == at
    view = await stream.view(job.id)
    assert view is not None
    assert view.options[:2] == (1.5, 2)


async def test_jobs_are_listed_and_deleted(client: AsyncClient) -> None:
    pushed = [(await client.submit(n, tag="a")).id for n in range(3)]
    await client.submit("other", tag="b")
    listed = [status["id"] async for status in client.jobs(tag="a", status="queued")]
    await client.job(pushed[0]).delete()
    await client.job(pushed[0]).delete()

    assert listed == pushed[::-1]
    with pytest.raises(NotFound):
        await client.job(pushed[0]).status()


@pytest.mark.parametrize("job_id", ["../jobs/purge?status=failed", "..", ".", "a/b", "%2e%2e", "a b#c", "gr\xf6\xdfe"])
async def test_an_id_is_never_another_path(client: AsyncClient, stream: Stream, job_id: str) -> None:
    job = await client.submit("hello")
    async with answering(stream, lambda _: ValueError("no")):
        await job.wait()

    other = client.job(job_id)
    for call in (other.status, other.cancel, other.retry, other.result):
        with pytest.raises(NotFound, match=r"not found|nothing at this path"):
            await call()
    with pytest.raises(NotFound, match=r"not found|nothing at this path"):
        await client.batch(job_id).status()

    assert (await job.status())["status"] == "failed"


async def test_map_keeps_the_order_and_has_few_jobs_at_a_time(client: AsyncClient, stream: Stream) -> None:
    waiting: list[int] = []
    results: list[Any] = []

    async def work() -> None:
        while len(results) < 9:
            jobs = await claimed(stream, 16)
            waiting.append(len(jobs))
            for job in reversed(jobs):
                await finish(stream, job, {"output": job.args.decode()})

    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
        async for result in client.map(range(9), 3):
            results.append(result["output"])
        task.cancel()

    assert results == [f"[{n}]" for n in range(9)]
    assert max(waiting) <= 3


async def test_map_ends_with_the_first_failure_and_cancels_what_runs(client: AsyncClient, stream: Stream) -> None:
    seen: list[Any] = []

    async def read() -> None:
        async for result in client.map(["a", "b", "c", "d"], 3):
            seen.append(result["output"])

    task = asyncio.create_task(read())
    jobs: dict[bytes, Any] = {}
    while len(jobs) < 3:
        jobs |= {job.args: job for job in await claimed(stream, 4)}
    await finish(stream, jobs[b'["a"]'], {"output": "A"})
    await finish(stream, jobs[b'["b"]'], ValueError("b"))
    with pytest.raises(FailedJob):
        await task

    assert seen == ["A"]

    async def none_is_left() -> bool:
        found = [status["status"] async for status in client.jobs()]
        return not {"queued", "processing"} & set(found)

    await until(none_is_left)


async def test_map_returns_exceptions_if_it_is_asked_to(client: AsyncClient, stream: Stream) -> None:
    async with answering(stream, lambda value: ValueError("odd") if value % 2 else value):
        found = [one async for one in client.map(range(4), return_exceptions=True, progress=True)]

    assert [one["output"] if isinstance(one, dict) else type(one) for one in found] == [0, FailedJob, 2, FailedJob]


async def test_whoever_gives_up_a_run_cancels_its_job(client: AsyncClient, stream: Stream) -> None:
    run = asyncio.create_task(client.run("hello"))
    [job] = await claimed(stream)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    view = await stream.view(job.id)
    assert view is not None
    assert view.status == "cancelled"


async def test_a_run_that_is_given_up_while_it_pushes_leaves_no_job(client: AsyncClient) -> None:
    for steps in range(0, 60, 4):
        run = asyncio.create_task(client.run("hello"))
        for _ in range(steps):
            await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    assert {status["status"] async for status in client.jobs()} == {"cancelled"}


async def test_figures_of_the_queue_are_those_of_the_metrics(client: AsyncClient, stream: Stream) -> None:
    for n in range(3):
        await client.submit(n)
    await claimed(stream)
    [queue] = await client.queues()

    assert (queue.waiting, queue.running, queue.dead) == (2, 1, 0)
    assert queue.pushed >= 3


def test_a_key_with_a_line_end_is_told() -> None:
    with pytest.raises(ValueError, match="the API key has a line end"):
        AsyncClient("http://127.0.0.1:8002", "key-0123456789abcdef\n")


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8002", "redis://127.0.0.1", "http://", "http://x/?a=b", "http://x/#a", "http://[::1", "http://x:65536"],
)
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="is no URL"):
        AsyncClient(url)
