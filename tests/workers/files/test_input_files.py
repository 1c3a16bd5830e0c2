from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from pydantic import BaseModel

from gateway.schemas.input_schema import InputSchema
from workers.file import File
from workers.files.fetch_terms import FetchFailed, FetchTerms
from workers.files.inputs import InputFiles
from workers.job import Job, JobTerms, reset_current, set_current
from workers.model_host.calls.failures import InputRefused
from workers.model_host.calls.inputs.binding import binder_of
from workers.model_host.calls.outputs.returned import FILE
from workers.model_host.calls.schemas.describing import described
from workers.model_host.errors import InputInvalid
from workers.objects.store import ObjectStore
from workers.outbound.addresses import AddressRules
from workers.settings import ObjectSettings
from workers.wire.decode import loads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

LOCAL = AddressRules.parse("127.0.0.1")


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(ObjectSettings(object_store=f"file:{tmp_path / 'objects'}"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "job"


def files(store: ObjectStore, folder: Path, rules: AddressRules = LOCAL, most_bytes: int = 100) -> InputFiles:
    return InputFiles(store, "q", "job-7", folder, FetchTerms(rules, 5, most_bytes))


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """A site with a file, and with some answers that are none."""

    async def answer(request: web.Request) -> web.StreamResponse:
        match request.match_info["what"]:
            case "cat.png":
                return web.Response(body=b"picture", content_type="image/png")
            case "moved":
                return web.Response(status=302, headers={"Location": "/cat.png"})
            case "compressed":
                return web.Response(body=b"x", headers={"Content-Encoding": "gzip"})
            case "endless":
                response = web.StreamResponse()
                await response.prepare(request)
                while True:
                    await response.write(b"x" * 1000)
            case "breaks":
                response = web.StreamResponse(headers={"Content-Length": "50"})
                await response.prepare(request)
                await response.write(b"half")
                assert request.transport is not None
                request.transport.abort()
                return response
            case status:
                return web.Response(status=int(status))

    app = web.Application()
    app.router.add_get("/{what}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_files_that_were_pushed_and_files_at_urls_are_brought(
    store: ObjectStore, folder: Path, site: str
) -> None:
    await store.put("q/job-7/01234567-input.png", b"pushed")
    pushed = {"url": "/files/job-7/01234567-input.png", "content_type": "image/x", "name": "größe.png"}

    value = await files(store, folder).brought(
        {"pages": [pushed, {"at": {"url": f"{site}/cat.png?a=/b.txt", "name": "mine"}}], "note": {"url": "kept"}},
        ["pages"],
    )

    first, second = value["pages"][0], value["pages"][1]["at"]
    assert value["note"] == {"url": "kept"}
    assert (first["name"], first["content_type"]) == ("größe.png", "image/x")
    assert (second["name"], second["content_type"]) == ("cat.png", "image/png")
    assert [(folder / one["path"]).read_bytes() for one in (first, second)] == [b"pushed", b"picture"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("/files/job-7/01234567-gone.png", "/image/url: this file is no longer kept"),
        ("/files/job-7/../job-8/a.png", "no file was pushed with this input under that path"),
        ("/files/job-8/a.png", "no file was pushed with this input under that path"),
        ("/etc/passwd", "no file was pushed with this input under that path"),
        ("file:///etc/passwd", "not a URL that can be called"),
        ("http://example.com/a", "is https, unless the service allows http"),
        ("https://10.0.0.1/a", "10.0.0.1 is no public address"),
        ("SITE/moved", "answered with 302"),
        ("SITE/404", "answered with 404"),
        ("SITE/compressed", "sent the file compressed"),
        ("SITE/endless", "/image/url: it is larger than 100 bytes"),
    ],
)
async def test_what_cannot_be_brought_is_the_clients_fault(
    store: ObjectStore, folder: Path, site: str, url: str, why: str
) -> None:
    with pytest.raises(InputInvalid, match=why) as raised:
        await files(store, folder).brought({"image": {"url": url.replace("SITE", site)}}, ["image"])
    assert raised.value.type == "InvalidInput"


async def test_without_leave_nothing_near_is_called(store: ObjectStore, folder: Path, site: str) -> None:
    for url in (site, site.replace("127.0.0.1", "localhost"), site.replace("http:", "https:")):
        with pytest.raises(InputInvalid, match=r"no public address|is https, unless"):
            await files(store, folder, AddressRules()).brought({"url": f"{url}/cat.png"}, [""])


@pytest.mark.parametrize("what", ["500", "429", "breaks"])
async def test_what_may_be_there_later_is_tried_again(store: ObjectStore, folder: Path, site: str, what: str) -> None:
    with pytest.raises(FetchFailed, match=r"^127.0.0.1 "):
        await files(store, folder).brought([{"url": f"{site}/{what}"}], [""])


async def test_an_input_has_a_bounded_number_of_files(store: ObjectStore, folder: Path) -> None:
    await store.put("q/job-7/a", b"")
    with pytest.raises(InputInvalid, match="/100/url: an input has at most 100 files"):
        await files(store, folder).brought([{"url": "/files/job-7/a"}] * 101, [""])


class ScannedPage(BaseModel):
    scan: File
    number: int = 1


class ScannedPages(BaseModel):
    scans: frozenset[File]


def one(image: File, note: str = "") -> None: ...
def perhaps(image: File | None = None) -> None: ...
def whole(image: File) -> None: ...
def several(images: list[File], page: ScannedPage, **more: File) -> None: ...
def none(image: str, page: dict[str, Any]) -> None: ...


def test_the_members_that_may_have_files_are_known() -> None:
    found = [binder.files if (binder := binder_of(predict)) else () for predict in (one, perhaps, whole, several, none)]

    assert found == [("image",), ("",), ("",), ("",), ()]


class FolderLink:
    """A job whose folder is the test's."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def terms(self) -> JobTerms:
        return JobTerms("job-7", 1, None, False, self.folder)

    def tell(self, kind: str, value: bytes) -> None: ...

    def is_cancelled(self) -> bool:
        return False


@contextlib.contextmanager
def current(job: Job) -> Iterator[None]:
    """The job that is run, in the block."""
    token = set_current(job)
    try:
        yield
    finally:
        reset_current(token)


def test_a_model_gets_files_of_its_own_job_only(folder: Path) -> None:
    bind = binder_of(whole)
    assert bind is not None
    own = {"url": "https://x/a", "path": str(folder / "a.png"), "name": "a.png", "content_type": "image/png"}
    with current(Job(FolderLink(str(folder)))):
        assert bind(own) == ([File(folder / "a.png", "a.png", "image/png")], {})
        for other in (
            {"url": "https://x/a"},
            {"path": "/etc/passwd"},
            {"path": f"{folder}/../a"},
            {"path": f"{folder}/x/../../a"},
            {"path": str(folder)},
            {"path": ""},
            "text",
            None,
        ):
            with pytest.raises(InputRefused, match="a file is wanted"):
                bind(other)
    with current(Job(FolderLink(""))), pytest.raises(InputRefused, match="OBJECT_STORE names a place"):
        bind(own)


def test_one_file_where_several_are_wanted_is_a_list_of_one(folder: Path) -> None:
    def predict(
        images: list[File], some: tuple[File, ...] | None = None, page: ScannedPages | None = None, n: int = 0
    ) -> None: ...

    bind = binder_of(predict)
    assert bind is not None
    pushed = {"url": "/files/job-7/a.png", "path": str(folder / "a.png"), "name": "a.png"}
    made = File(folder / "a.png", "a.png")
    takes = InputSchema(loads(described(predict, bind).schema)["accepts"]).takes
    with current(Job(FolderLink(str(folder)))):
        taken: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({"images": pushed}, {"images": [made]}),
            ({"images": [pushed, pushed], "some": pushed}, {"images": [made, made], "some": (made,)}),
            (
                {"images": pushed, "page": {"scans": pushed}},
                {"images": [made], "page": ScannedPages(scans=frozenset([made]))},
            ),
        ]
        for value, arguments in taken:
            assert takes(value)
            assert bind(value) == ([], arguments)
        refused: list[tuple[dict[str, Any], str]] = [
            ({"images": "text"}, "/images: Input should be a valid list"),
            ({"images": pushed, "n": "x"}, "/n: Input should be a valid integer"),
            ({"images": {"url": "https://x/a", "path": "/etc/passwd"}}, "/images: Value error, a file is wanted"),
        ]
        for value, sentence in refused:
            with pytest.raises(InputRefused, match=f"^{sentence}"):
                bind(value)
    assert not takes({"images": "text"})


def test_a_file_is_described_as_what_clients_push_and_get() -> None:
    def predict(image: File, page: ScannedPage) -> File: ...  # type: ignore[empty-body]

    schema = loads(described(predict, binder_of(predict)).schema)

    assert schema["input"]["properties"]["image"]["required"] == ["url"]
    assert schema["definitions"]["ScannedPage"]["properties"]["scan"]["title"] == "File"
    assert schema["output"] == FILE
    assert schema["accepts"]["properties"]["image"] == {}


async def test_files_are_brought_beside_other_work(store: ObjectStore, folder: Path) -> None:
    await store.put("q/job-7/a", bytes(9_000_000))
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    beating = asyncio.create_task(beat())
    await files(store, folder, most_bytes=10**7).brought({"url": "/files/job-7/a"}, [""])
    beating.cancel()

    assert beats > 3
