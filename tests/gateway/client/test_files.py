"""Files of the client, with a folder for an object store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.client import AsyncClient, NotFound, Upload
from tests.gateway.client.answering import answering
from tests.gateway.service import serving

if TYPE_CHECKING:
    from pathlib import Path

    from workers.stream import Stream, StreamSettings


async def test_files_of_an_input_are_sent_and_those_of_a_job_fetched(
    stream: Stream, settings: StreamSettings, tmp_path: Path
) -> None:
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"\x89PNG" + b"x" * 200_000)
    seen: list[Any] = []

    def note(value: Any) -> Any:
        seen.append(value)
        return "done"

    async with (
        serving(settings, object_store=f"file:{tmp_path / 'objects'}", root_path="/api") as base,
        AsyncClient(f"{base}/api") as client,
        answering(stream, note),
    ):
        document = await client.run({"image": Upload(picture), "also": [Upload(b"hello", "a.txt")]})
        image, text = document["input"]["image"], document["input"]["also"][0]
        saved = await client.save_file(image, tmp_path / "saved.png")
        assert await client.read_file(text) == await client.read_file(text["url"]) == b"hello"
        with pytest.raises(NotFound):
            await client.save_file("/api/files/nothing/x", tmp_path / "nothing")

    assert saved.read_bytes() == picture.read_bytes()
    assert (image["name"], image["content_type"]) == ("cat.png", "image/png")
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("nothing") or path.suffix == ".part"]
    assert [sorted(value) for value in seen] == [["also", "image"]]


async def test_files_of_a_batch_are_sent_once(stream: Stream, settings: StreamSettings, tmp_path: Path) -> None:
    shared, own = Upload(b"shared", "a.txt"), Upload(b"own", "b.txt")
    async with (
        serving(settings, object_store=f"file:{tmp_path}") as base,
        AsyncClient(base) as client,
        answering(stream, lambda value: [file["url"] for file in value["files"]]),
    ):
        batch = await client.submit_batch([{"files": [shared]}, {"files": (shared, own)}])
        urls = [outcome.value() async for outcome in batch.results()]
        found = [[await client.read_file(url) for url in some] for some in urls]
    assert found == [[b"shared"], [b"shared", b"own"]]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 5, "two that were sent, and three of jobs"


async def test_a_file_keeps_its_name_and_type_in_any_script(
    stream: Stream, settings: StreamSettings, tmp_path: Path
) -> None:
    async with (
        serving(settings, object_store=f"file:{tmp_path}") as base,
        AsyncClient(base) as client,
        answering(stream, lambda _: {}),
    ):
        named = [(await client.run(Upload(b"x", name)))["input"] for name in ("猫.png", 'die "größe"\n.png', "a/b.png")]
    assert [one["name"] for one in named] == ["猫.png", 'die "größe"\n.png', "a/b.png"]
    assert {one["content_type"] for one in named} == {"image/png"}


def test_bytes_without_a_name_are_refused() -> None:
    with pytest.raises(ValueError, match="need a name"):
        Upload(b"hello")
