"""Files of jobs that are held: they are there when the job runs, and gone if it does not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest

from workers.files.ahead import FilesAhead
from workers.files.fetch_terms import FetchTerms
from workers.files.job_files import JobFiles
from workers.objects.store import ObjectStore
from workers.outbound.addresses import AddressRules
from workers.settings import ObjectSettings
from workers.stream import Claimed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[JobFiles]:
    """With a store that has a file of job-7."""
    store = ObjectStore(ObjectSettings(object_store=f"file:{tmp_path}"))
    await store.put("q/job-7/0123abcd-a.txt", b"hello")
    files = JobFiles(store, "q", FetchTerms(AddressRules(), 10, 100), 1000)
    yield files
    files.close()


def claimed(job_id: str, function: str = "predict") -> Claimed:
    args = orjson.dumps([{"file": {"url": f"/files/{job_id}/0123abcd-a.txt"}}])
    return Claimed(job_id, "1-1", function, args, b"", 1, 0)


async def test_the_files_of_a_job_that_is_held_are_there_when_it_runs(files: JobFiles) -> None:
    ahead = FilesAhead(files, "predict", lambda: ["file"])
    ahead.begin(claimed("job-7"))

    brought = await ahead.taken("job-7")

    assert brought is not None
    [path] = brought.folder.iterdir()
    assert (brought.value["file"]["path"], path.read_bytes(), brought.has_files) == (str(path), b"hello", True)
    assert await ahead.taken("job-7") is None
    await files.remove(brought.folder)


@pytest.mark.parametrize("is_brought", [False, True])
async def test_a_job_that_goes_back_leaves_nothing(files: JobFiles, is_brought: bool) -> None:
    ahead = FilesAhead(files, "predict", lambda: ["file"])
    ahead.begin(claimed("job-7"))
    if is_brought:
        while not files.last_bring_s:  # noqa: ASYNC110
            await asyncio.sleep(0)
    ahead.drop("job-7")
    await ahead.close()

    assert await ahead.taken("job-7") is None
    assert [path.name for path in files.scratch_path.iterdir()] == ["lock"]


async def test_what_can_not_be_brought_is_left_to_the_attempt(files: JobFiles) -> None:
    ahead = FilesAhead(files, "predict", lambda: ["file"])
    ahead.begin(claimed("job-8"))
    ahead.begin(claimed("job-9", "another"))

    assert [await ahead.taken(job_id) for job_id in ("job-8", "job-9")] == [None, None]


async def test_a_job_that_is_cancelled_while_its_files_come_leaves_nothing(files: JobFiles) -> None:
    ahead = FilesAhead(files, "predict", lambda: ["file"])
    ahead.begin(claimed("job-7"))
    taking = asyncio.create_task(ahead.taken("job-7"))
    await asyncio.sleep(0)
    taking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await taking
    await ahead.close()
    assert [path.name for path in files.scratch_path.iterdir()] == ["lock"]
