"""The job endpoints on a real gateway process and a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from yarl import URL

from tests.gateway.service import get, problem, push, status_of
from workers.stream import Finish, Stream

if TYPE_CHECKING:
    import aiohttp

    from tests.gateway.service import Gateway


async def test_a_jobs_way(http: aiohttp.ClientSession, stream: Stream) -> None:
    response = await http.post("/push?input=hello")
    job_id = (await response.json())["id"]
    assert response.status == 202
    assert response.headers["Location"] == f"/status/{job_id}"
    status = await get(http, f"/status/{job_id}")
    assert (status["id"], status["status"], status["attempts"], status["ahead"]) == (job_id, "queued", 0, 0)
    assert (status["started"], status["finished"], status["error"]) == (None, None, None)
    assert await problem(await http.get(f"/data/{job_id}")) == (404, "job result not found")

    [job] = await stream.claim("w", 1)
    assert job.args == b'["hello"]'
    status = await get(http, f"/status/{job_id}")
    assert (status["status"], status["attempts"], status["ahead"]) == ("processing", 1, None)
    await stream.finish("w", [Finish(job_id, 1, "finished", b'{"output":"HELLO","input":"hello"}', 60_000)])
    data = await get(http, f"/data/{job_id}")
    assert {**data, "latency": 0} == {"output": "HELLO", "input": "hello", "latency": 0, "id": job_id}
    assert 0 <= data["latency"] < 60
    status = await get(http, f"/status/{job_id}")
    assert status["status"] == "finished"
    assert status["queued"] <= status["started"] <= status["finished"]
    assert (await problem(await http.post(f"/cancel/{job_id}")))[0] == 409
    assert (await problem(await http.post(f"/retry/{job_id}")))[0] == 409


async def test_ids_are_128_random_bits(http: aiohttp.ClientSession) -> None:
    ids = {await push(http) for _ in range(20)}
    assert len(ids) == 20
    assert all(len(job_id) == 32 and int(job_id, 16) >= 0 for job_id in ids)


async def test_ahead_counts_what_is_before(http: aiohttp.ClientSession, stream: Stream) -> None:
    ids = [await push(http) for _ in range(5)]
    assert [(await get(http, f"/status/{job_id}"))["ahead"] for job_id in ids] == [0, 1, 2, 3, 4]
    await stream.claim("w", 2)
    assert [(await get(http, f"/status/{job_id}"))["ahead"] for job_id in ids] == [None, None, 0, 1, 2]


async def test_a_doubled_slash_is_a_single_one(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    async with http.post(f"{gateway.base}//push?input=a//b") as response:
        assert response.status == 202
        job_id = (await response.json())["id"]
    for path in (f"//status/{job_id}", f"/status//{job_id}", f"///status///{job_id}"):
        assert (await get(http, gateway.base + path))["id"] == job_id


async def test_cancel_and_retry(http: aiohttp.ClientSession, stream: Stream) -> None:
    job_id = (await (await http.post("/push", json={"a": [1, None]})).json())["id"]
    [job] = await stream.claim("w", 1)
    assert orjson.loads(job.args) == [{"a": [1, None]}]
    await stream.finish("w", [Finish(job_id, 1, "failed", b'{"type":"E","message":"m"}', 60_000)])
    assert (await get(http, f"/status/{job_id}"))["error"] == {"type": "E", "message": "m"}
    async with http.get(f"/data/{job_id}") as response:
        document = await response.json()
    assert (document["job_status"], document["error"]) == ("failed", {"type": "E", "message": "m"})
    response = await http.post(f"/retry/{job_id}")
    assert response.status == 202
    assert response.headers["Location"] == f"/status/{job_id}"
    assert await status_of(http.post(f"/cancel/{job_id}")) == 200
    assert (await get(http, f"/status/{job_id}"))["status"] == "cancelled"
    assert (await problem(await http.post(f"/cancel/{job_id}")))[0] == 409
    assert (await problem(await http.post(f"/retry/{job_id}")))[0] == 409


@pytest.mark.parametrize("value", [None, 0, -1.5, False, [], {}, "ä\U0001f600\u0000", {"a": [{"b": "c"}]}, " "])
async def test_any_json_value_is_an_input(http: aiohttp.ClientSession, stream: Stream, value: object) -> None:
    async with http.post("/push", data=orjson.dumps(value), headers={"Content-Type": "application/json"}) as response:
        assert response.status == 202
    [job] = await stream.claim("w", 1)
    assert orjson.loads(job.args) == [value]


@pytest.mark.parametrize("text", ["ä\U0001f600", "a&b=c#d?e/f", " ", "\n\t", "%", "\ufffd", '{"a": 1}'])
async def test_a_text_arrives_as_it_was(http: aiohttp.ClientSession, stream: Stream, text: str) -> None:
    await push(http, text)
    [job] = await stream.claim("w", 1)
    assert orjson.loads(job.args) == [text]


async def test_a_result_of_another_shape_is_the_output(http: aiohttp.ClientSession, stream: Stream) -> None:
    job_id = await push(http)
    await stream.claim("w", 1)
    await stream.finish("w", [Finish(job_id, 1, "finished", b"[1,2]", 60_000)])
    data = await get(http, f"/data/{job_id}")
    assert (data["output"], data["input"]) == ([1, 2], None)


async def test_bad_input_gets_a_problem_document(http: aiohttp.ClientSession) -> None:
    json = {"Content-Type": "application/json"}
    assert await problem(await http.post("/push")) == (400, "empty input")
    assert await problem(await http.post("/push?input=")) == (400, "empty input")
    assert await problem(await http.post("/push", json="")) == (400, "empty input")
    assert (await problem(await http.post("/push", data=b"{", headers=json)))[0] == 400
    assert (await problem(await http.post("/push", data=b"NaN", headers=json)))[0] == 400
    assert (await problem(await http.post("/push", data=b"1,2", headers=json)))[0] == 400
    assert (await problem(await http.post("/push", data=b'"\xff"', headers=json)))[0] == 400
    assert (await problem(await http.post("/push", data=b'"\\ud800"', headers=json)))[0] == 400
    assert (await problem(await http.post("/push", data=b"[" * 900, headers=json)))[0] == 400
    deep = b"[" * 400 + b"]" * 400
    assert await problem(await http.post("/push", data=deep, headers=json)) == (400, "the input is nested too deeply")
    assert (await problem(await http.post("/push", data=b"x", headers={"Content-Type": "text/plain"})))[0] == 415
    assert (await problem(await http.post("/push", data={"input": "x"})))[0] == 415
    assert (await problem(await http.post("/push?input=x", json=1)))[0] == 400
    assert await problem(await http.get("/status/nothing")) == (404, "job not found")
    assert await problem(await http.get("/status/%00%ff")) == (404, "job not found")
    assert await problem(await http.get("/data/nothing")) == (404, "job result not found")
    assert await problem(await http.post("/cancel/nothing")) == (404, "job not found")
    assert await problem(await http.post("/retry/nothing")) == (404, "job not found")
    assert (await problem(await http.get("/nowhere")))[0] == 404
    assert (await problem(await http.get("/status/a/b")))[0] == 404
    wrong = await http.get("/push")
    assert (await problem(wrong))[0] == 405
    assert wrong.headers["Allow"] == "POST"
    assert await status_of(http.get("/healthz")) == 200


async def test_a_query_that_is_no_utf8_is_refused(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    url = URL(f"{gateway.base}/push?input=%FF", encoded=True)
    assert await problem(await http.post(url)) == (400, "the input is not valid UTF-8")
