"""Files from a model to a client: gateway, worker and model's process, and a folder for a store."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import aiohttp
import orjson

from tests.gateway.service import serving
from tests.workers.service import WorkerProcess
from workers.settings import WorkerSettings

if TYPE_CHECKING:
    from pathlib import Path

    from workers.stream import Stream, StreamSettings


async def test_a_client_gets_the_files_that_a_model_returns(
    stream: Stream, settings: StreamSettings, tmp_path: Path
) -> None:
    own = WorkerSettings(redis_url=settings.redis_url, queue_name=settings.queue_name, lease_s=settings.lease_s)
    store, temporary = f"file:{tmp_path / 'objects'}", tmp_path / "tmp"
    temporary.mkdir()
    options = {"MODEL": "tests.workers.files.models:Draws", "OBJECT_STORE": store, "TMPDIR": str(temporary)}
    with WorkerProcess(tmp_path, own, **options) as worker:
        async with serving(settings, object_store=store, root_path="/api") as base, aiohttp.ClientSession() as http:
            async with http.post(f"{base}/api/push?wait=30", json="hello") as response:
                assert response.status == 200, await response.text()
                document = await response.json()
            found = {}
            for name in ("raw", "page", "image"):
                async with http.get(base + document[name]["url"]) as response:
                    found[name] = await response.read()
                    assert response.status == 200
                    assert response.headers["Content-Type"] == document[name]["content_type"]
                    assert len(found[name]) == document[name]["size_bytes"]

            assert (found["raw"], found["page"]) == (b"hello", b"hello")
            assert found["image"].startswith(b"\x89PNG")
            assert document["what"] == "hello"
            assert document["raw"]["url"].startswith(f"/api/files/{document['id']}/")
        assert await worker.stopped() == 0
    assert [path.name for path in temporary.iterdir() if "leadtime" in path.name] == []


async def test_a_model_gets_the_file_that_a_client_pushes(
    stream: Stream, settings: StreamSettings, tmp_path: Path
) -> None:
    own = WorkerSettings(redis_url=settings.redis_url, queue_name=settings.queue_name, lease_s=settings.lease_s)
    store, temporary = f"file:{tmp_path / 'objects'}", tmp_path / "tmp"
    temporary.mkdir()
    options = {"MODEL": "tests.workers.files.models:Reads", "OBJECT_STORE": store, "TMPDIR": str(temporary)}
    with WorkerProcess(tmp_path, own, **options) as worker:
        serving_below = serving(settings, object_store=store, root_path="/api")
        async with serving_below as base, aiohttp.ClientSession(base) as http:
            form = aiohttp.FormData({"note": "a note"})
            form.add_field("file", io.BytesIO(b"x" * 6_000_000), filename="cat.png", content_type="image/png")
            async with http.post("/push?wait=30", data=form) as response:
                assert response.status == 200, await response.text()
                document = await response.json()
            async with http.post("/push?wait=30", json={"file": {"url": "http://127.0.0.1/x"}}) as response:
                refused = await response.json()
            url = document["input"]["file"]["url"]
            async with http.get(url, headers={"Range": "bytes=0-1"}) as response:
                assert await response.read() == b"xx"
        assert await worker.stopped() == 0

    assert document["about"] == ["cat.png", "image/png", 6_000_000]
    assert (document["head"], document["note"], document["is_beside_others"]) == ("x" * 10, "a note", True)
    assert document["input"]["note"] == "a note"
    assert url.startswith(f"/api/files/{document['id']}/")
    assert refused["error"]["type"] == "InvalidInput"
    assert refused["error"]["message"].startswith("/file/url: a URL to be called is https")
    assert list(temporary.rglob("*cat*")) == []


async def test_a_form_with_one_file_is_a_list_of_one(stream: Stream, settings: StreamSettings, tmp_path: Path) -> None:
    own = WorkerSettings(redis_url=settings.redis_url, queue_name=settings.queue_name, lease_s=settings.lease_s)
    store = f"file:{tmp_path / 'objects'}"
    with WorkerProcess(tmp_path, own, MODEL="tests.workers.files.models:ReadsSeveral", OBJECT_STORE=store):
        async with serving(settings, object_store=store) as base, aiohttp.ClientSession(base) as http:
            for names in (["a.png"], ["a.png", "b.png"]):
                form = aiohttp.FormData()
                for name in names:
                    form.add_field("files", b"x", filename=name)
                async with http.post("/push?wait=30", data=form) as response:
                    document = await response.json()
                    assert response.status == 200, document
                assert document["output"] == [names, ""]


async def test_a_batch_of_files_is_run_in_one_call(stream: Stream, settings: StreamSettings, tmp_path: Path) -> None:
    own = WorkerSettings(redis_url=settings.redis_url, queue_name=settings.queue_name, lease_s=settings.lease_s)
    store, temporary = f"file:{tmp_path / 'objects'}", tmp_path / "tmp"
    temporary.mkdir()
    options = {"MODEL": "tests.workers.files.models:ReadsTogether", "OBJECT_STORE": store, "TMPDIR": str(temporary)}
    async with serving(settings, object_store=store) as base, aiohttp.ClientSession(base) as http:
        inputs = []
        for text in ("one", "two"):
            async with http.post(f"/uploads?name={text}.txt") as response:
                told = await response.json()
            async with http.put(told["put"], data=text.encode()) as response:
                assert response.status == 200
            inputs.append({"file": told["file"], "copies": 1})
        refused = {"file": {"url": "http://127.0.0.1/x"}, "copies": 1}
        misfit = {"file": told["file"], "copies": "many"}
        async with http.post("/batches", json=[inputs[0], refused, inputs[1], misfit]) as response:
            batch = await response.json()
        with WorkerProcess(tmp_path, own, **options) as worker:
            async with http.get(f"/batches/{batch['id']}/results?wait=30") as response:
                lines = [orjson.loads(line) for line in (await response.read()).splitlines()]
            copies = []
            for place in (0, 2):
                async with http.get(lines[place]["result"]["copy"]["url"]) as response:
                    copies.append(await response.read())
            assert await worker.stopped() == 0

    assert [line["status"] for line in lines] == ["finished", "failed", "finished", "failed"], lines
    results = [line.get("result") or line["error"]["message"] for line in lines]
    assert [results[0]["text"], results[2]["text"]] == ["one", "two"]
    assert (results[0]["together"], copies) == (2, [b"one", b"two"])
    assert results[1].startswith("/file/url: a URL to be called is https")
    assert results[3].startswith("/copies: ")
    assert list(temporary.rglob("*.txt")) == []
