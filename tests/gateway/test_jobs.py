"""The job endpoints on a real gateway process and a real server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.servers import free_port
from workers.stream import Finish, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workers.stream import StreamSettings


@pytest.fixture
async def http(settings: StreamSettings) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of `python -m gateway`, which must end on SIGTERM with 0."""
    port = free_port()
    environment = {
        **os.environ,
        "REDIS_URL": settings.redis_url,
        "QUEUE_NAME": settings.queue_name,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "MAX_INPUT_BYTES": "1000",
    }
    process = subprocess.Popen([sys.executable, "-m", "gateway"], env=environment)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with asyncio.timeout(20):
            while True:
                try:
                    if (await session.get("/readyz")).status == 200:
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
        yield session
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 20) == 0


async def problem(response: aiohttp.ClientResponse) -> tuple[int, Any]:
    assert response.content_type == "application/problem+json"
    document = await response.json()
    assert document["status"] == response.status
    return response.status, document["detail"]


async def test_a_jobs_way(http: aiohttp.ClientSession, stream: Stream) -> None:
    response = await http.post("/push?input=hello")
    job_id = (await response.json())["id"]
    assert response.status == 202
    assert response.headers["Location"] == f"/status/{job_id}"
    status = await (await http.get(f"/status//{job_id}")).json()
    assert (status["id"], status["status"], status["attempts"], status["ahead"]) == (job_id, "queued", 0, 0)
    assert await problem(await http.get(f"/data/{job_id}")) == (404, "job result not found")

    [job] = await stream.claim("w", 1)
    assert job.args == b'["hello"]'
    assert (await (await http.get(f"/status/{job_id}")).json())["status"] == "processing"
    await stream.finish("w", [Finish(job_id, 1, "finished", b'{"output":"HELLO","input":"hello"}', 60_000)])
    data = await (await http.get(f"/data/{job_id}")).json()
    assert {**data, "latency": 0} == {"output": "HELLO", "input": "hello", "latency": 0, "id": job_id}
    assert data["latency"] >= 0
    assert (await problem(await http.post(f"/cancel/{job_id}")))[0] == 409
    assert (await problem(await http.post(f"/retry/{job_id}")))[0] == 409


async def test_cancel_and_retry(http: aiohttp.ClientSession, stream: Stream) -> None:
    job_id = (await (await http.post("/push", json={"a": [1, None]})).json())["id"]
    [job] = await stream.claim("w", 1)
    assert job.args == b'[{"a": [1, null]}]'
    await stream.finish("w", [Finish(job_id, 1, "failed", b'{"type":"E","message":"m"}', 60_000)])
    assert (await (await http.get(f"/status/{job_id}")).json())["error"] == {"type": "E", "message": "m"}
    assert (await http.post(f"/retry/{job_id}")).status == 202
    assert (await http.post(f"/cancel/{job_id}")).status == 200
    assert (await (await http.get(f"/status/{job_id}")).json())["status"] == "cancelled"
    assert (await problem(await http.post(f"/cancel/{job_id}")))[0] == 409


async def test_bad_input_gets_a_problem_document(http: aiohttp.ClientSession) -> None:
    json = {"Content-Type": "application/json"}
    assert await problem(await http.post("/push")) == (400, "empty input")
    assert await problem(await http.post("/push?input=")) == (400, "empty input")
    assert (await problem(await http.post("/push", data=b"{", headers=json)))[0] == 400
    assert (await problem(await http.post("/push", data=b"[" * 900, headers=json)))[0] == 400
    assert (await problem(await http.post("/push", data=b"x" * 1001, headers=json)))[0] == 413
    assert (await problem(await http.post("/push?input=" + "x" * 1001)))[0] == 413
    assert (await problem(await http.post("/push", data=b"x", headers={"Content-Type": "text/plain"})))[0] == 415
    assert (await problem(await http.post("/push?input=x", json=1)))[0] == 400
    assert await problem(await http.get("/status/nothing")) == (404, "job not found")
    assert await problem(await http.get("/status/%00%ff")) == (404, "job not found")
    assert await problem(await http.get("/data/nothing")) == (404, "job result not found")
    assert (await problem(await http.get("/nowhere")))[0] == 404
    wrong = await http.get("/push")
    assert (await problem(wrong))[0] == 405
    assert wrong.headers["Allow"] == "POST"
