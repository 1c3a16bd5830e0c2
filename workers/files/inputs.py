"""The files of an input: brought into the job's folder before its model gets it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from workers.files.fetch_terms import FetchRefused
from workers.files.patience import patiently
from workers.model_host.errors import InputInvalid
from workers.objects.errors import ObjectMissing, ObjectTooLarge
from workers.objects.names import NAME, job_prefix, new_name, shown_name, type_of
from workers.wire.limits import MAX_NESTING
from workers.wire.pointers import pointer_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from workers.files.fetch_terms import FetchTerms
    from workers.objects.store import ObjectStore

MOST_FILES = 100
_URL = "url"


class InputFiles:
    """Brings the files of one job's input into its folder. Files that were pushed are in the store."""

    def __init__(self, store: ObjectStore, queue: str, job_id: str, folder: Path, terms: FetchTerms) -> None:
        self._store = store
        self._prefix = job_prefix(queue, job_id)
        self._own_url = f"/files/{job_id}/"
        self._folder = folder
        self._terms = terms
        self._count = 0

    async def brought(self, value: Any, members: Sequence[str]) -> Any:
        """The input, in which each object with a URL in one of the members also has the `path` of its file.

        The name '' means the whole input. Raises InputInvalid, FetchFailed and StoreUnavailable.
        """
        if "" in members:
            return await self._walk(value, [])
        if not isinstance(value, dict):
            return value
        return {name: await self._walk(member, [name]) if name in members else member for name, member in value.items()}

    async def _walk(self, value: Any, path: list[str | int]) -> Any:
        if len(path) > MAX_NESTING:
            return value
        if isinstance(value, list):
            return [await self._walk(item, [*path, index]) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if isinstance(value.get(_URL), str):
            return await self._bring(value, path)
        return {name: await self._walk(member, [*path, name]) for name, member in value.items()}

    async def _bring(self, value: dict[str, Any], path: list[str | int]) -> dict[str, Any]:
        self._count += 1
        try:
            if self._count > MOST_FILES:
                raise FetchRefused(f"an input has at most {MOST_FILES} files")
            # The client's own words on the type and the name count, for a file that it has pushed.
            found = await self._file(value[_URL])
            said = {name: value[name] for name in ("content_type", "name") if isinstance(value.get(name), str)}
            return {**value, **found, **(said if value[_URL].startswith("/") else {})}
        except (FetchRefused, ObjectMissing, ObjectTooLarge) as error:
            sentence = "this file is no longer kept" if isinstance(error, ObjectMissing) else str(error)
            raise InputInvalid("InvalidInput", f"{pointer_of([*path, _URL])}: {sentence}") from None

    async def _file(self, url: str) -> dict[str, Any]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if not url.startswith("/"):
            from workers.files.fetch import fetch  # imports aiohttp

            name = new_name(url.partition("?")[0].partition("#")[0].rpartition("/")[2])
            content_type = await fetch(url, self._folder / name, self._terms)
            return {"path": str(self._folder / name), "name": shown_name(name), "content_type": content_type}
        name = url.removeprefix(self._own_url)
        # What another job has is for that job's owner alone.
        if not url.startswith(self._own_url) or not NAME.fullmatch(name):
            raise FetchRefused("no file was pushed with this input under that path")
        path = await patiently(partial(self._downloaded, name))
        return {"path": str(path), "name": shown_name(name), "content_type": type_of(name)}

    async def _downloaded(self, name: str) -> Path:
        path = self._folder / new_name(shown_name(name))
        await self._store.download(self._prefix + name, path, self._terms.most_bytes)
        return path
