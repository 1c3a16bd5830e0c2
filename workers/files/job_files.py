"""What a worker does with the files of its jobs."""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from workers.files.fetch_terms import FetchTerms
from workers.files.inputs import InputFiles
from workers.files.patience import patiently
from workers.files.scratch import Scratch
from workers.model_host.errors import ModelRaised
from workers.objects.errors import ObjectMissing, ObjectTooLarge, StoreUnavailable
from workers.objects.names import NAME, job_prefix, new_name, type_of
from workers.objects.store import open_store
from workers.outbound.addresses import AddressRules
from workers.wire.decode import loads
from workers.wire.encode import encode_exactly
from workers.wire.stored import StoredJson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from workers.objects.store import ObjectStore
    from workers.settings import WorkerSettings
    from workers.wire.result import EncodedResult

TRANSFER_S = 600.0
"""How long the files of an input may take from the store, and those of a result to it."""


class BadFileSetting(Exception):  # noqa: N818
    """A setting can't be used. The message is a sentence that names it."""


class BroughtInput(NamedTuple):
    """An input as the model gets it, the folder with its files, and whether there may be any."""

    value: Any
    folder: Path
    has_files: bool


class JobFiles:
    """The files of the jobs of one worker, below `scratch_path`.

    `last_bring_s` is what the input took that was brought last.
    """

    def __init__(self, store: ObjectStore, queue: str, terms: FetchTerms, inline_bytes: int) -> None:
        self._inline_bytes = inline_bytes
        self._store = store
        self._queue = queue
        self._terms = terms
        self._most_bytes = terms.most_bytes
        self._scratch = Scratch()
        self.scratch_path = self._scratch.path
        self.last_bring_s = 0.0

    def close(self) -> None:
        """Removes what is left on the disk."""
        self._scratch.close()

    async def bring(self, job_id: str, value: Any, members: Sequence[str]) -> BroughtInput:
        """The whole input with its files in a new folder, which is to be given to `remove`.

        Raises as `whole_input` and `brought` do; then nothing is left.
        """
        folder, began_s = self._scratch.new_folder(), time.monotonic()
        try:
            whole = await self.whole_input(job_id, value)
            brought = await self.brought(job_id, whole, members, folder) if members else whole
        except BaseException:
            await self.remove(folder)
            raise
        self.last_bring_s = time.monotonic() - began_s
        return BroughtInput(brought, folder, brought is not whole)

    async def remove(self, folder: Path) -> None:
        """Removes a job's folder, if there is one."""
        if folder.exists():  # noqa: ASYNC240 - the stat of a folder of ours
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    async def whole_input(self, job_id: str, value: Any) -> Any:
        """What a job's input stands for, if it is in the store. Raises ModelRaised if it is gone, StoreUnavailable."""
        stored = stored_input(job_id, value)
        if stored is None:
            return value
        try:
            key = job_prefix(self._queue, job_id) + stored.name
            return loads(await patiently(partial(self._store.read, key, stored.size_bytes)))
        except (ObjectMissing, ObjectTooLarge):
            raise ModelRaised("InputGone", "the job's input is no longer kept") from None

    async def kept_result(self, job_id: str, result: EncodedResult) -> EncodedResult:
        """The result, or what stands for it if it is large: it is in the store then. Raises StoreUnavailable."""
        if len(result.body) <= self._inline_bytes:
            return result
        name = new_name("result.json")
        key = job_prefix(self._queue, job_id) + name
        await patiently(partial(self._store.put, key, result.body, "application/json"))
        return replace(result, body=StoredJson.of(job_id, name, len(result.body)).reference)

    async def brought(self, job_id: str, value: Any, members: Sequence[str], folder: Path) -> Any:
        """The input with its files in the folder (`InputFiles.brought`).

        Raises InputInvalid, and StoreUnavailable or FetchFailed for what may succeed later.
        """
        try:
            async with asyncio.timeout(TRANSFER_S):
                files = InputFiles(self._store, self._queue, job_id, folder, self._terms)
                return await files.brought(value, members)
        except TimeoutError:
            raise StoreUnavailable(f"the files of the input took longer than {TRANSFER_S:g} s") from None

    async def upload(self, job_id: str, folder: Path, names: Sequence[str]) -> None:
        """Takes the files of a result to the store. Raises StoreUnavailable, and ModelRaised for one that is refused.

        What was stored before an error goes with the job.
        """
        try:
            async with asyncio.timeout(TRANSFER_S):
                for name in names:
                    await self._upload(job_prefix(self._queue, job_id) + name, folder / name)
        except TimeoutError:
            raise StoreUnavailable(f"the files of the result took longer than {TRANSFER_S:g} s to the store") from None

    async def _upload(self, key: str, path: Path) -> None:
        # The process of the model has said that there is such a file: it may be anything.
        if not NAME.fullmatch(path.name) or not await asyncio.to_thread(_is_file, path):
            raise ModelRaised("TypeError", "a file of the result is none")
        try:
            await patiently(partial(self._store.put, key, path, type_of(path.name), self._most_bytes))
        except ObjectTooLarge as error:
            message = f"a file of the result can't be kept: {error} (MAX_OBJECT_BYTES)"
            raise ModelRaised("ResultTooLarge", message) from None


def stored_input(job_id: str, value: Any) -> StoredJson | None:
    """What a job's input is in the store; None if it stands for itself."""
    if not isinstance(value, dict) or value.keys() != {"stored", "size_bytes"}:
        return None
    return StoredJson.read(encode_exactly(value), job_id)


def _is_file(path: Path) -> bool:
    return not path.is_symlink() and path.is_file()


def open_files(settings: WorkerSettings) -> JobFiles | None:
    """Those of a worker with these settings; None if they name no store. Raises BadFileSetting."""
    try:
        rules = AddressRules.parse(settings.fetch_allow)
    except ValueError as error:
        raise BadFileSetting(f"bad setting FETCH_ALLOW: {error}") from None
    try:
        store = open_store(settings)
    except StoreUnavailable as error:
        raise BadFileSetting(f"bad setting OBJECT_STORE: {error}") from None
    if store is None:
        return None
    terms = FetchTerms(rules, settings.fetch_timeout_s, settings.max_object_bytes)
    return JobFiles(store, settings.queue_name, terms, settings.inline_bytes)
