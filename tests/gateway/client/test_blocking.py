"""The blocking face of the client, in a thread, as its users have no event loop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from gateway.client import CancelledJob, Client, LeadtimeError, NotFound
from tests.gateway.client.answering import answering, claimed
from tests.processes import LoggedProcess

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.service import GatewayProcess
    from workers.stream import Stream


async def test_a_program_without_a_loop_uses_all_of_it(gateway: GatewayProcess, stream: Stream) -> None:
    def program() -> None:
        with Client(gateway.base) as client:
            assert client.run("hello")["output"] == "HELLO"
            job = client.submit("again")
            assert [event.kind for event in job.events()][-1] == "end"
            assert job.wait()["status"] == job.status()["status"] == "finished"
            assert client.job(job.id).result()["output"] == "AGAIN"
            assert [one["output"] for one in client.map("abc", 2)] == ["A", "B", "C"]
            batch = client.submit_batch(["a", "b"])
            assert [outcome.value() for outcome in batch.results()] == [{"output": "A"}, {"output": "B"}]
            assert len(list(client.batch(batch.id).as_completed())) == 2
            assert (batch.wait()["ended"], batch.status()["count"], batch.cancel()) == (True, 2, 0)
            assert len(list(client.jobs(status="finished"))) == 7
            assert len(client.queues()) == 1
            job.delete()
            with pytest.raises(NotFound):
                job.status()
            with pytest.raises(NotFound):
                client.webhook_secrets()

    async with answering(stream):
        await asyncio.to_thread(program)
    assert not [thread for thread in threading.enumerate() if thread.name == "leadtime"]


async def test_a_job_is_cancelled_from_another_thread(gateway: GatewayProcess, stream: Stream) -> None:
    with Client(gateway.base) as client:
        running = asyncio.create_task(asyncio.to_thread(client.run, "hello"))
        [job] = await claimed(stream)
        assert await asyncio.to_thread(client.job(job.id).cancel)
        with pytest.raises(CancelledJob):
            await running


async def test_a_client_that_is_closed_cancels_what_it_runs(gateway: GatewayProcess, stream: Stream) -> None:
    client = Client(gateway.base)
    running = asyncio.create_task(asyncio.to_thread(client.run, "hello"))
    [job] = await claimed(stream)
    await asyncio.to_thread(client.close)
    with pytest.raises(LeadtimeError, match="closed"):
        await running

    view = await stream.view(job.id)
    assert view is not None
    assert view.status == "cancelled"


async def test_an_interrupt_of_a_map_cancels_its_jobs_though_nobody_closes_the_client(
    gateway: GatewayProcess, stream: Stream, tmp_path: Path
) -> None:
    program = f"from gateway.client import Client\nfor _ in Client({gateway.base!r}).map('abc'): pass"
    with LoggedProcess([sys.executable, "-c", program], dict(os.environ), tmp_path / "map.log") as process:
        jobs = await claimed(stream, 3)
        while len(jobs) < 3:
            jobs += await claimed(stream, 3)
        process.send(signal.SIGINT)
        assert await process.code() == -signal.SIGINT

    views = [await stream.view(job.id) for job in jobs]
    assert [view and view.status for view in views] == ["cancelled"] * 3


async def test_a_closed_client_says_so_and_starts_nothing(
    gateway: GatewayProcess, stream: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    def program() -> None:
        client = Client(gateway.base)
        results = client.map("abc", 1)
        assert next(results)["output"] == "A"
        client.close()
        client.close()
        with pytest.raises(LeadtimeError, match="closed"):  # not the end of the results
            next(results)
        with pytest.raises(LeadtimeError, match="closed"):
            client.run("hello")

    async with answering(stream):
        await asyncio.to_thread(program)
    assert not [thread for thread in threading.enumerate() if thread.name == "leadtime"]
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_a_fork_of_a_program_that_has_used_its_client_is_told(
    gateway: GatewayProcess, stream: Stream, tmp_path: Path
) -> None:
    program = (
        "import multiprocessing\nfrom gateway.client import Client\n"
        f"client = Client({gateway.base!r})\nclient.run('hello')\n"
        "context = multiprocessing.get_context('fork')\n"
        "child = context.Process(target=client.run, args=('hello',))\nchild.start()\nchild.join()\n"
        "client.run('again')\nclient.close()\n"
    )
    async with answering(stream):
        with LoggedProcess([sys.executable, "-c", program], dict(os.environ), tmp_path / "fork.log") as process:
            assert await process.code() == 0

    assert "LeadtimeError: the client was used before this process was forked" in process.text


async def test_inputs_that_call_their_own_client_are_told(gateway: GatewayProcess, stream: Stream) -> None:
    def program() -> None:
        with Client(gateway.base) as client:
            with pytest.raises(LeadtimeError, match="can't call the client that takes them"):
                list(client.map(document["output"] for document in client.map("abc")))
            assert [one["output"] for one in client.map([one["output"] for one in client.map("abc")])] == [
                "A",
                "B",
                "C",
            ]

    async with answering(stream):
        await asyncio.to_thread(program)


async def test_a_map_that_is_left_early_cancels_its_jobs(gateway: GatewayProcess, stream: Stream) -> None:
    def program() -> None:
        with Client(gateway.base) as client:
            results = client.map(iter(lambda: "more", ""), 2)
            assert next(results)["output"] == "MORE"
            results.close()  # type: ignore[attr-defined]
            assert {status["status"] for status in client.jobs()} <= {"finished", "cancelled"}

    async with answering(stream):
        await asyncio.to_thread(program)
