"""A store of objects: a folder, or a bucket of S3, Google or Azure. obstore is imported when the first one is opened.

What goes in and comes out does so in pieces: no object is held in memory as a whole unless `read` is asked for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workers.objects.errors import ObjectMissing, ObjectTooLarge, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator, Sequence

    from workers.settings import ObjectSettings

logger = logging.getLogger(__name__)

PIECE_BYTES = 4 * 1024 * 1024
# S3 takes no smaller parts than 5 MiB, except for the last.
_PART_BYTES = 5 * 1024 * 1024
_PARTS_AT_ONCE = 2
_LIST_ROWS = 200
_RETRIES = 4
_PARTIAL = "#"  # a file below a folder's store that is still written ends with this and a number
_FILE = "file:"
# A cause is in the log as often as that, and in so many characters.
_LOG_PAUSE_S = 60.0
_MOST_CAUSE_CHARS = 1000


class ObjectView(NamedTuple):
    """What a store says of an object. `etag` is quoted, as in HTTP; `modified_s` is in seconds since the epoch."""

    key: str
    size_bytes: int
    etag: str
    modified_s: float


class ObjectStore:
    """The store that `OBJECT_STORE` names. Its methods raise StoreUnavailable."""

    def __init__(self, settings: ObjectSettings) -> None:
        import obstore
        from obstore.store import LocalStore, from_url

        self._obstore: Any = obstore
        self._errors = obstore.exceptions.BaseError
        self._timeout_s = settings.object_timeout_s
        self._folder: Path | None = None
        self._logged_s: dict[str, float] = {}
        url = settings.object_store
        with self._told():
            if url.startswith(_FILE):
                self._folder = folder_of(url)
                with contextlib.suppress(FileNotFoundError):  # where nothing can be made: the next line tells
                    self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._store: Any = LocalStore(self._folder, automatic_cleanup=True)
            else:
                timeout = timedelta(seconds=self._timeout_s)
                self._store = from_url(
                    url,
                    # Who names an endpoint without TLS wants it.
                    client_options={"timeout": timeout, "connect_timeout": timeout, "allow_http": True},
                    retry_config={"max_retries": _RETRIES, "retry_timeout": timeout},
                )

    async def put(
        self, key: str, body: AsyncIterable[bytes] | bytes | Path, content_type: str = "", most_bytes: int | None = None
    ) -> int:
        """Stores an object, in parts if it is large; its size in bytes. It is there as a whole, or not at all.

        Raises ObjectTooLarge, and what the source of the bytes raises.
        """
        size_bytes = 0

        async def counted(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
            nonlocal size_bytes
            async for piece in pieces:
                size_bytes += len(piece)
                if most_bytes is not None and size_bytes > most_bytes:
                    raise ObjectTooLarge(most_bytes)
                if piece:
                    yield piece

        source: Any = body
        if isinstance(body, bytes):
            size_bytes = len(body)
        elif isinstance(body, Path):
            size_bytes = (await asyncio.to_thread(body.stat)).st_size
        else:
            source = counted(body)
        if most_bytes is not None and size_bytes > most_bytes:
            raise ObjectTooLarge(most_bytes)
        # A folder keeps no content type.
        attributes = {"Content-Type": content_type} if content_type and self._folder is None else None
        with self._told(may_miss=False):
            await self._obstore.put_async(
                self._store,
                key,
                source,
                attributes=attributes,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )
        return size_bytes

    async def head(self, key: str) -> ObjectView:
        """What the store says of an object. Raises ObjectMissing."""
        with self._told():
            return _view(await self._obstore.head_async(self._store, key))

    async def pieces(
        self, key: str, start: int, end: int, piece_bytes: int = PIECE_BYTES
    ) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to `end`, each piece in a request of its own. Raises ObjectMissing."""
        while start < end:
            stop = min(end, start + piece_bytes)
            with self._told():
                piece = await self._obstore.get_range_async(self._store, key, start=start, end=stop)
            if len(piece) != stop - start:
                raise StoreUnavailable("the object store has less of an object than it said")
            yield bytes(piece)
            start = stop

    async def read(self, key: str, most_bytes: int) -> bytes:
        """An object as a whole. Raises ObjectMissing and ObjectTooLarge."""
        view = await self.head(key)
        if view.size_bytes > most_bytes:
            raise ObjectTooLarge(most_bytes)
        return b"".join([piece async for piece in self.pieces(key, 0, view.size_bytes)])

    async def download(self, key: str, path: Path, most_bytes: int) -> int:
        """Writes an object into a new file; its size in bytes. Raises ObjectMissing, ObjectTooLarge and OSError."""
        view = await self.head(key)
        if view.size_bytes > most_bytes:
            raise ObjectTooLarge(most_bytes)
        with path.open("xb") as file:
            async for piece in self.pieces(key, 0, view.size_bytes):
                await asyncio.to_thread(file.write, piece)
        return view.size_bytes

    async def pages(self, prefix: str) -> AsyncIterator[Sequence[ObjectView]]:
        """All objects whose keys begin with this prefix, some hundred at a time."""
        with self._told():
            rows = self._obstore.list(self._store, prefix.rstrip("/"), chunk_size=_LIST_ROWS)
        while True:
            with self._told():
                try:
                    page = await anext(rows)
                except StopAsyncIteration:
                    return
            yield [_view(row) for row in page]

    async def copy(self, key: str, to: str) -> None:
        """Copies an object within the store. Raises ObjectMissing."""
        with self._told():
            await self._obstore.copy_async(self._store, key, to)

    async def delete(self, keys: Sequence[str]) -> None:
        """Deletes objects, of which some may be gone already."""
        if self._folder is None:
            with contextlib.suppress(ObjectMissing), self._told():
                if keys:
                    await self._obstore.delete_async(self._store, list(keys))
            return
        for key in keys:
            with contextlib.suppress(ObjectMissing), self._told():
                await self._obstore.delete_async(self._store, key)

    async def delete_all(self, prefix: str) -> int:
        """Deletes all objects whose keys begin with this prefix; how many there were."""
        count = 0
        async for page in self.pages(prefix):
            await self.delete([view.key for view in page])
            count += len(page)
        return count

    def presigned(self, method: str, key: str, seconds: float) -> str:
        """A URL that lets whoever has it make one kind of request for so long; empty if this store has none."""
        if self._folder is not None:
            return ""
        with self._told():
            return str(self._obstore.sign(self._store, method, key, timedelta(seconds=seconds)))

    def delete_remains(self, older_than_s: float) -> int:
        """Deletes what writers that were killed have left of a folder's store, empty folders too; how many files.

        Blocks. Other stores have no remains that could be listed: a bucket needs a rule for unfinished uploads.
        """
        if self._folder is None:
            return 0
        before_s, count = time.time() - older_than_s, 0
        for root, _, files in os.walk(self._folder, topdown=False):
            for name in files:
                path = Path(root, name)
                with contextlib.suppress(OSError):
                    if _PARTIAL in name and path.stat().st_mtime <= before_s:
                        path.unlink()
                        count += 1
            folder = Path(root)
            with contextlib.suppress(OSError):  # most are not empty
                if folder != self._folder and folder.stat().st_mtime <= before_s:
                    folder.rmdir()
        return count

    @contextlib.contextmanager
    def _told(self, may_miss: bool = True) -> Iterator[None]:
        """Raises the store's errors as this module's. `may_miss`: what is not found is an object, not the bucket."""
        try:
            yield
        except FileNotFoundError as error:
            if may_miss and not _says(error, _NO_BUCKET):
                raise ObjectMissing("there is no such object") from None
            raise self._unavailable(error) from error
        except (self._errors, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: BaseException) -> StoreUnavailable:
        """Also tells the operator what clients are not told: the address, the key, and what the store has answered."""
        sentence, now_s = _sentence(error), time.monotonic()
        if now_s - self._logged_s.get(sentence, -math.inf) >= _LOG_PAUSE_S:
            self._logged_s[sentence] = now_s
            cause = " ".join(str(error).partition("Debug source:")[0].split())
            logger.warning("%s: %s", sentence, cause[:_MOST_CAUSE_CHARS])
        return StoreUnavailable(sentence)


def open_store(settings: ObjectSettings) -> ObjectStore | None:
    """The store that the settings name; None if they name none. Raises StoreUnavailable."""
    return ObjectStore(settings) if settings.object_store else None


def folder_of(url: str) -> Path:
    """The folder that `file:PATH` or `file:///PATH` names."""
    path = url.removeprefix(_FILE)
    return Path(path[2:] if path.startswith("//") else path).absolute()


def _view(row: Any) -> ObjectView:
    return ObjectView(row["path"], row["size"], row["e_tag"] or "", row["last_modified"].timestamp())


_NO_BUCKET = ("NoSuchBucket", "bucket does not exist", "container does not exist")
_SENTENCES = (
    (("No space left", "StorageFull", "Disk quota"), "the object store is full"),
    (("PermissionDenied", "Unauthenticated", "Permission denied"), "the object store refuses the service"),
    (_NO_BUCKET, "the object store has no such bucket"),
)


def _sentence(error: BaseException) -> str:
    """Why the store can't be used, for clients: it tells no address and no path."""
    sentences = (sentence for words, sentence in _SENTENCES if _says(error, words))
    return next(sentences, "the object store can't be reached")


def _says(error: BaseException, words: Sequence[str]) -> bool:
    text = f"{type(error).__name__}: {error}"
    return any(word in text for word in words)
