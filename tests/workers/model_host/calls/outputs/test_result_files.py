from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from PIL import Image

from workers.file import File
from workers.job import JobTerms
from workers.model_host.calls.failures import Refusal
from workers.model_host.calls.outputs.encoding import encoded
from workers.model_host.calls.outputs.files import ResultFiles
from workers.model_host.calls.outputs.yielded import Collector
from workers.objects.names import shown_name

if TYPE_CHECKING:
    from collections.abc import Generator


def files_of(folder: Path | None, job_id: str = "job-7") -> ResultFiles:
    return ResultFiles(lambda: JobTerms(job_id, 1, None, False, str(folder or "")))


def result_of(value: Any, folder: Path | None) -> tuple[Any, list[tuple[str, bytes]]]:
    """The result, its URLs by the files' own names; and the files."""
    result = encoded(value, 10_000, files_of(folder))
    kept = [(shown_name(name), (folder / name).read_bytes()) for name in result.files] if folder else []
    text = result.body.decode()
    for name in result.files:
        text = text.replace(f"/files/job-7/{name}", shown_name(name))
    return orjson.loads(text), kept


def test_bytes_become_an_object_named_after_their_member(tmp_path: Path) -> None:
    result, kept = result_of({"sound": b"abc", "more": [bytearray(b"d")]}, tmp_path / "new")

    kind = "application/octet-stream"
    assert result == {
        "sound": {"url": "sound.bin", "content_type": kind, "size_bytes": 3},
        "more": [{"url": "more.bin", "content_type": kind, "size_bytes": 1}],
    }
    assert kept == [("sound.bin", b"abc"), ("more.bin", b"d")]


def test_a_path_becomes_an_object_with_a_copy_of_the_file(tmp_path: Path) -> None:
    @dataclass
    class Answer:
        page: Path
        sound: File

    (tmp_path / "a.html").write_text("<p>")
    (tmp_path / "b").write_bytes(b"wave")

    result, kept = result_of(Answer(tmp_path / "a.html", File(tmp_path / "b", "b.mp3")), tmp_path / "new")
    (tmp_path / "a.html").write_text("the next job's")

    assert result == {
        "page": {"url": "a.html", "content_type": "text/html", "size_bytes": 3},
        "sound": {"url": "b.mp3", "content_type": "audio/mpeg", "size_bytes": 4},
    }
    assert kept == [("a.html", b"<p>"), ("b.mp3", b"wave")]


def test_an_image_becomes_a_png(tmp_path: Path) -> None:
    result, kept = result_of(Image.new("RGB", (3, 2)), tmp_path / "new")

    assert result["content_type"] == "image/png"
    assert [name for name, _ in kept] == ["output.png"]
    assert kept[0][1].startswith(b"\x89PNG")
    assert result["size_bytes"] == len(kept[0][1])


def test_files_that_are_yielded_are_kept_once(tmp_path: Path) -> None:
    (tmp_path / "two").write_bytes(b"two")
    (tmp_path / "four").write_bytes(b"four")

    def predict() -> Generator[Any, None, None]:
        yield b"one"
        yield "text"
        yield {"path": tmp_path / "two"}
        yield File(tmp_path / "four")

    files, told = files_of(tmp_path / "new"), list[bytes]()
    result = encoded(Collector(False, 10_000).collect(predict(), told.append, files), 10_000, files)

    one, text, two, four = orjson.loads(result.body)
    assert [one["size_bytes"], text, two["path"]["size_bytes"], four["size_bytes"]] == [3, "text", 3, 4]
    urls = [one["url"], two["path"]["url"], four["url"]]
    assert urls == [f"/files/job-7/{name}" for name in result.files]
    assert [orjson.loads(piece) for piece in told] == [one, text, two, four]
    assert len(os.listdir(tmp_path / "new")) == 3


def test_a_path_without_a_file_stays_a_text_and_says_so(tmp_path: Path) -> None:
    result = encoded({"at": tmp_path / "no.txt", Path("name"): Path("/")}, 10_000, files_of(tmp_path / "new"))

    assert orjson.loads(result.body) == {"at": str(tmp_path / "no.txt"), "name": "/"}
    assert [warning["pointer"] for warning in orjson.loads(result.warnings)] == ["/at", "/name"]
    assert result.files == ()


def test_without_a_place_for_files_paths_are_texts_and_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")

    assert result_of([tmp_path / "a"], None) == ([str(tmp_path / "a")], [])
    for value in (b"x", Image.new("L", (1, 1)), File(tmp_path / "a")):
        with pytest.raises(Refusal, match="can't be written as JSON"):
            result_of([value], None)


def test_what_cannot_be_kept_is_refused_with_its_place(tmp_path: Path) -> None:
    for value, why in (
        (File(tmp_path / "no"), "a File that can't be read"),
        (File(tmp_path), "a File whose path is no file"),
        (Image.new("F", (1, 1)), "cannot write mode F as PNG"),
    ):
        with pytest.raises(Refusal, match=rf"{why}.*, at /b/0"):
            result_of({"b": [value]}, tmp_path / "new")


def test_the_files_of_an_input_that_only_checks_the_model_are_dropped(tmp_path: Path) -> None:
    result = encoded([b"x"], 1000, files_of(None, job_id=""))

    assert orjson.loads(result.body) == [{"url": "", "content_type": "application/octet-stream", "size_bytes": 0}]
    assert result.files == ()


def test_a_result_with_files_comes_through_the_connection(tmp_path: Path) -> None:
    result = encoded({"input": b"x"}, 1000, files_of(tmp_path / "new"))

    assert type(result).unpacked(result.packed()) == result
