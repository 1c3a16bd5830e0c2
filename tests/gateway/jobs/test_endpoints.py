"""The job endpoints on a real gateway process and a real server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.gateway.service import GatewayProcess, get, problem, push, status_of
from workers.stream import Finish, Stream, Telling

if TYPE_CHECKING:
    import aiohttp

    from workers.stream import StreamSettings


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


async def test_the_status_of_a_job_that_runs_has_its_last_progress(http: aiohttp.ClientSession, stream: Stream) -> None:
    job_id = await push(http)
    assert (await get(http, f"/status/{job_id}"))["progress"] is None
    await stream.claim("w", 1)
    value = b'{"fraction":0.5,"text":"half"}'
    await stream.tell("w", [Telling(job_id, 1, 1, [("progress", value)])])
    assert (await get(http, f"/status/{job_id}"))["progress"] == {"fraction": 0.5, "text": "half"}
    await stream.finish("w", [Finish(job_id, 1, "finished", b'{"progress":1}', 60_000)])
    assert (await get(http, f"/status/{job_id}"))["progress"] is None
    assert (await get(http, f"/data/{job_id}"))["progress"] == 1


async def test_events_come_in_pages(http: aiohttp.ClientSession, stream: Stream) -> None:
    job_id = await push(http)
    assert await get(http, f"/events/{job_id}") == {"id": job_id, "events": [], "next": None}
    await stream.claim("w", 1)
    values = [b"12345678901234567890123", b'{"a":1.50}', b"no JSON"]
    await stream.tell("w", [Telling(job_id, 1, 1, [("partial", value) for value in values])])

    text = await (await http.get(f"/events/{job_id}")).text()
    assert '"value":12345678901234567890123}' in text
    assert '"value":{"a":1.50}}' in text, "digit for digit"
    page = await get(http, f"/events/{job_id}")
    assert [event["kind"] for event in page["events"]] == ["begin", "partial", "partial", "partial"]
    assert page["events"][0]["value"] == 1
    assert page["events"][3]["value"] == "no JSON"
    assert page["next"] == page["events"][3]["place"]
    after = page["next"]
    assert await get(http, f"/events/{job_id}?after={after}") == {"id": job_id, "events": [], "next": after}
    await stream.finish("w", [Finish(job_id, 1, "finished", b"1", 60_000)])
    (last,) = (await get(http, f"/events/{job_id}?after={after}"))["events"]
    assert (last["kind"], last["value"]) == ("end", "finished")

    assert (await problem(await http.get(f"/events/{job_id}?after=x")))[0] == 400
    assert (await problem(await http.get(f"/events/{job_id}?after={'9' * 20}-0")))[0] == 400
    assert (await http.get(f"/events/{job_id}?after={'9' * 19}-{'9' * 19}")).status == 200
    assert (await problem(await http.get("/events/none")))[0] == 404


async def test_ids_are_128_random_bits(http: aiohttp.ClientSession) -> None:
    ids = {await push(http) for _ in range(20)}
    assert len(ids) == 20
    assert all(len(job_id) == 32 and int(job_id, 16) >= 0 for job_id in ids)


async def test_ahead_counts_what_is_before(http: aiohttp.ClientSession, stream: Stream) -> None:
    ids = [await push(http) for _ in range(5)]
    assert [(await get(http, f"/status/{job_id}"))["ahead"] for job_id in ids] == [0, 1, 2, 3, 4]
    await stream.claim("w", 2)
    assert [(await get(http, f"/status/{job_id}"))["ahead"] for job_id in ids] == [None, None, 0, 1, 2]


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


@pytest.mark.parametrize("result", [b"[1,2]", b"null", b'"text"', b"18446744073709551616", b" [1] "])
async def test_a_result_that_is_no_object_is_the_output(
    http: aiohttp.ClientSession, stream: Stream, result: bytes
) -> None:
    data = await finished(http, stream, result)
    assert data["output"] == json.loads(result)
    assert (data["input"], data["latency"] >= 0) == (None, True)


@pytest.mark.parametrize("result", [b"{}", b" { } ", b'{"label":"cat","n":18446744073709551616}', b'{"a":{"id":1}}'])
async def test_a_result_that_is_an_object_keeps_all_its_members(
    http: aiohttp.ClientSession, stream: Stream, result: bytes
) -> None:
    data = await finished(http, stream, result, b'{"input":[1e2, 18446744073709551616]}')
    assert set(data) - set(json.loads(result)) == {"id", "latency", "input"}
    assert {name: data[name] for name in json.loads(result)} == json.loads(result)
    assert data["input"] == [100.0, 2**64]


async def test_the_services_members_give_way_to_the_models(http: aiohttp.ClientSession, stream: Stream) -> None:
    notes = b'{"input":18446744073709551616,"warnings":[{"pointer":"/warnings/0","detail":"NaN became null"}]}'

    data = await finished(http, stream, b'{"id":1,"warnings":[null],"_job":2}', notes)

    service = data["__job"]
    assert {**data, "latency": 0} == {
        "id": 1,
        "warnings": [None],
        "_job": 2,
        "__job": service,
        "input": 2**64,
        "latency": 0,
    }
    assert set(service) == {"id", "latency", "warnings"}
    assert service["warnings"] == [{"pointer": "/warnings/0", "detail": "NaN became null"}]


@pytest.mark.parametrize("result", [b"[" * 900 + b"]" * 900, b'{"output":' + b"[" * 400 + b"]" * 400 + b"}"])
async def test_a_result_of_an_older_release_is_served_however_deep(
    http: aiohttp.ClientSession, stream: Stream, result: bytes
) -> None:
    data = await finished(http, stream, result, as_text=True)
    assert data.startswith(b"{" + (b'"output":' if result.startswith(b"[") else b"") + result.strip(b"{}"))


@pytest.mark.parametrize("result", [b"{", b"[NaN]", b'"\xff"', b"[" * 5000 + b"]" * 5000])
async def test_a_result_that_is_no_json_is_shown_as_a_text(
    http: aiohttp.ClientSession, stream: Stream, result: bytes
) -> None:
    data = await finished(http, stream, result)
    assert data["output"] == result.decode(errors="replace")
    assert data["warnings"][0]["detail"] == "the stored result is no JSON, and is shown as a text"


@pytest.mark.parametrize(
    ("result", "names"),
    [
        (b"[%b]", {"output", "id", "latency", "input"}),
        (b'{"a":[%b]}', {"a", "id", "latency", "input"}),
        (b'{"input":[%b],"id":3}', {"input", "id", "latency", "_job"}),
        (rb'{"\u0069d":[%b]}', {"id", "latency", "input", "_job"}),
    ],
)
async def test_a_large_result_is_shown_as_a_small_one_is(
    http: aiohttp.ClientSession, stream: Stream, result: bytes, names: set[str]
) -> None:
    small = await finished(http, stream, result % b'{"id":1}')
    large = await finished(http, stream, result % b",".join([b'{"id":1}'] * 200_000))

    assert set(small) == set(large) == names
    assert sum(value == [{"id": 1}] * 200_000 for value in large.values()) == 1


async def finished(
    http: aiohttp.ClientSession, stream: Stream, result: bytes, notes: bytes = b"", as_text: bool = False
) -> Any:
    """The data document of a job with this result, its integers exact."""
    job_id = await push(http)
    await stream.claim("w", 1)
    await stream.finish("w", [Finish(job_id, 1, "finished", result, 60_000, notes)])
    async with http.get(f"/data/{job_id}") as response:
        assert response.status == 200
        return await response.read() if as_text else await response.json()


async def test_a_job_that_is_not_there(http: aiohttp.ClientSession) -> None:
    assert await problem(await http.get("/status/nothing")) == (404, "job not found")
    assert await problem(await http.get("/status/%00%ff")) == (404, "job not found")
    assert await problem(await http.get("/data/nothing")) == (404, "job result not found")
    assert await problem(await http.post("/cancel/nothing")) == (404, "job not found")
    assert await problem(await http.post("/retry/nothing")) == (404, "job not found")


async def test_a_full_backlog_refuses_pushes_and_answers_the_rest(settings: StreamSettings, stream: Stream) -> None:
    async with GatewayProcess(settings, MAX_BACKLOG="3") as gateway:
        http = gateway.http
        ids = [await push(http) for _ in range(3)]
        response = await http.post("/push?input=x")
        assert await problem(response) == (503, "the backlog is full")
        assert response.headers["Retry-After"]
        assert (await stream.counts()).waiting == 3
        assert await status_of(http.post(f"/cancel/{ids[0]}")) == 200
        await push(http)
        assert (await get(http, f"/status/{ids[1]}"))["status"] == "queued"
