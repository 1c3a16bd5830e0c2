from __future__ import annotations

import asyncio
import fcntl
import multiprocessing
import os
import signal
import tempfile
from typing import TYPE_CHECKING, TextIO

import orjson
import pytest

from workers.files import patience
from workers.files.fetch_terms import FetchTerms
from workers.files.job_files import JobFiles
from workers.files.scratch import Scratch
from workers.model_host.errors import ModelRaised
from workers.objects.errors import StoreUnavailable
from workers.objects.names import new_name
from workers.objects.store import ObjectStore, ObjectView
from workers.outbound.addresses import AddressRules
from workers.settings import ObjectSettings
from workers.wire.stored import StoredJson

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's folder for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def terms(most_bytes: int) -> FetchTerms:
    return FetchTerms(AddressRules(), 10, most_bytes)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(ObjectSettings(object_store=f"file:{tmp_path / 'objects'}"))


async def test_files_of_a_result_go_to_the_store_and_leave_nothing_behind(store: ObjectStore, temporary: Path) -> None:
    files = JobFiles(store, "q", terms(10), 50)
    folder = (await files.bring("job-7", 1, ())).folder
    folder.mkdir()
    (folder / "0123-a.txt").write_bytes(b"hello")
    (folder / "unnamed").write_bytes(b"")
    await files.upload("job-7", folder, ["0123-a.txt"])
    await files.remove(folder)
    unused = (await files.bring("job-8", 1, ())).folder
    await files.remove(unused)
    files.close()

    assert await store.read("q/job-7/0123-a.txt", 10) == b"hello"
    assert not folder.exists()
    assert not unused.exists()
    assert list(temporary.iterdir()) == []


async def test_a_file_that_is_too_large_or_none_fails_the_job(store: ObjectStore, temporary: Path) -> None:
    files = JobFiles(store, "q", terms(4), 50)
    folder = (await files.bring("job-7", 1, ())).folder
    folder.mkdir()
    (folder / "large").write_bytes(b"12345")
    (folder / "link").symlink_to("/etc/hostname")
    for name, kind in (("large", "ResultTooLarge"), ("link", "TypeError"), ("none", "TypeError")):
        with pytest.raises(ModelRaised) as raised:
            await files.upload("job-7", folder, [name])
        assert raised.value.type == kind
    with pytest.raises(ModelRaised):
        await files.upload("job-7", folder, ["../../secret"])
    files.close()
    assert list(temporary.iterdir()) == []


async def test_a_store_that_is_away_is_tried_again(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(patience, "PAUSES_S", (0.0, 0.0))
    files = JobFiles(store, "q", terms(10), 50)
    # A file is where the folder of the queue should be.
    (tmp_path / "objects" / "q").write_bytes(b"")
    folder = (await files.bring("job-7", 1, ())).folder
    folder.mkdir()
    (folder / "a").write_bytes(b"x")
    with pytest.raises(StoreUnavailable):
        await files.upload("job-7", folder, ["a"])
    uploading = asyncio.create_task(files.upload("job-7", folder, ["a"]))
    (tmp_path / "objects" / "q").unlink()
    await uploading
    files.close()
    assert await store.read("q/job-7/a", 1) == b"x"


async def test_an_input_is_asked_for_again_while_the_store_is_away(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    value, name = {"file": {"url": "/files/job-7/0123-a"}}, new_name("input.json")
    await store.put(f"q/job-7/{name}", orjson.dumps(value))
    await store.put("q/job-7/0123-a", b"x")
    stored = orjson.loads(StoredJson.of("job-7", name, len(orjson.dumps(value))).reference)
    head, away = store.head, [0]

    async def later(key: str) -> ObjectView:
        away[0] -= 1
        if away[0] >= 0:
            raise StoreUnavailable("the object store can't be reached")
        return await head(key)

    monkeypatch.setattr(store, "head", later)
    monkeypatch.setattr(patience, "PAUSES_S", (0.0, 0.0, 0.0))
    files = JobFiles(store, "q", terms(10), 50)
    away[0] = 3
    assert await files.whole_input("job-7", stored) == value
    away[0] = 3
    found = await files.bring("job-7", value, ["file"])
    assert [path.read_bytes() for path in found.folder.iterdir()] == [b"x"]
    await files.remove(found.folder)
    away[0] = 4
    with pytest.raises(StoreUnavailable):
        await files.bring("job-7", value, ["file"])
    files.close()
    assert list(temporary.iterdir()) == []


def hold_a_folder(told: int) -> None:
    scratch = Scratch()
    scratch.new_folder().mkdir()
    os.write(told, b"x")
    signal.pause()


def test_a_worker_that_begins_at_the_same_time_takes_no_folder_away(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, others = fcntl.flock, [True]

    def lock_late(file: TextIO, how: int) -> None:
        if how == fcntl.LOCK_EX and others:
            others.clear()
            Scratch().close()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    scratch = Scratch()

    scratch.new_folder().mkdir()
    Scratch().close()
    assert list(temporary.iterdir()) == [scratch.path]
    scratch.close()


def test_what_a_killed_worker_has_left_is_removed_by_the_next(temporary: Path) -> None:
    mine = Scratch()
    hears, told = os.pipe()
    process = multiprocessing.get_context("fork").Process(target=hold_a_folder, args=(told,))
    process.start()
    assert os.read(hears, 1) == b"x"

    Scratch().close()
    assert len(list(temporary.iterdir())) == 2
    process.kill()
    process.join()
    Scratch().close()

    assert list(temporary.iterdir()) == [mine.path]
    mine.close()
    os.close(hears)
    os.close(told)
