"""A push's input with files: they go into the object store as they come, and their URLs into the input."""

from __future__ import annotations

import contextlib
import hashlib
import re
from typing import TYPE_CHECKING, Any

from gateway.files.pace import paced, place
from gateway.files.uploads import MOST_NAME_CHARS, names_uploads, taken
from gateway.http.bodies.body import PushedInput, read_args
from gateway.http.bodies.content import URL_ENCODED, check_codings, is_plain_json
from gateway.http.bodies.multipart import Multipart
from gateway.http.errors import Problem
from workers.objects.errors import ObjectTooLarge, StoreUnavailable
from workers.objects.names import ending_of, job_prefix, new_name
from workers.wire.decode import loads_bounded
from workers.wire.encode import encode_exactly
from workers.wire.limits import NotJson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from gateway.context import Context
    from gateway.http.bodies.multipart import PartHead
    from gateway.http.request import HttpRequest
    from workers.objects.store import ObjectStore

MOST_FILES = 100
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)
_FORM = "multipart/form-data"


def read_input(context: Context, request: HttpRequest, job_id: str) -> Awaitable[PushedInput]:
    """The input of the push that would make the job with this id.

    A body that is no JSON is a file, or a form with fields and files, if there is an object store. What was stored of
    an input that is refused is deleted. Raises Problem (400, 408, 413, 415, 503) and ClientDisconnect.
    """
    if context.objects is None:
        return read_args(request, context.settings.max_input_bytes, context.settings.body_timeout_s)
    return _read_with_files(context, context.objects, request, job_id)


async def _read_with_files(context: Context, store: ObjectStore, request: HttpRequest, job_id: str) -> PushedInput:
    settings = context.settings
    if is_plain_json(request) or not _has_files(request):
        given = await read_args(request, settings.max_input_bytes, settings.body_timeout_s)
        return await with_uploads(context, request, job_id, given) if names_uploads(given.args) else given
    if "input" in request.query:
        raise Problem(400, "the input is given twice: in the query and as a body", parameters=["input"])
    check_codings(request)
    async with place(context.uploads):
        try:
            return await _Upload(context, store, request, job_id).read()
        except BaseException:
            await forget(context, job_id)
            raise


async def with_uploads(context: Context, request: HttpRequest, job_id: str, given: PushedInput) -> PushedInput:
    """An input of JSON, whose uploads are copied to its job if it names any. Raises Problem (400, 413, 503)."""
    if context.objects is None or not names_uploads(given.args):
        return given
    try:
        found = await taken(context, context.api_keys.owner(request), job_id, given.value)
    except BaseException:
        await forget(context, job_id)
        raise
    return PushedInput(encode_exactly([found.value]), found.value, given.args, True, found.size_bytes)


async def forget(context: Context, job_id: str) -> None:
    """Deletes the objects of a job that was not accepted. If the store is away a sweep does it later."""
    if context.objects is not None:
        with contextlib.suppress(StoreUnavailable):
            await context.objects.delete_all(job_prefix(context.settings.queue_name, job_id))


def _has_files(request: HttpRequest) -> bool:
    media_type = _media_type(request)
    if media_type == "application/json" or media_type.endswith("+json") or not _MEDIA_TYPE.fullmatch(media_type):
        return False
    if media_type == URL_ENCODED:  # whoever forgot to say that it is JSON has not meant a file
        return False
    return request.has_body


def _media_type(request: HttpRequest) -> str:
    return (request.header(b"content-type") or "").partition(";")[0].strip().lower()


class _Upload:
    """One body on its way into the store."""

    def __init__(self, context: Context, store: ObjectStore, request: HttpRequest, job_id: str) -> None:
        self._settings = context.settings
        self._store = store
        self._request = request
        self._job_id = job_id
        self._prefix = job_prefix(context.settings.queue_name, job_id)
        self._left_bytes = context.settings.max_object_bytes
        self._count = 0

    async def read(self) -> PushedInput:
        most_bytes, declared = self._settings.max_object_bytes, self._request.header(b"content-length")
        if declared and int(declared.lstrip("0")[:19] or 0) > most_bytes + self._settings.max_input_bytes:
            raise _too_large(most_bytes)
        content_type = self._request.header(b"content-type") or ""
        try:
            if _media_type(self._request) == _FORM:
                value, fingerprinted = await self._form(content_type)
            else:
                value, fingerprinted = await self._file(
                    "input" + ending_of(content_type), content_type, paced(self._request, self._settings.body_timeout_s)
                )
        except ObjectTooLarge:
            raise _too_large(most_bytes) from None
        args = encode_exactly([value])
        if len(args) > self._settings.max_input_bytes:
            raise Problem(413, f"the fields are larger than {self._settings.max_input_bytes} bytes")
        return PushedInput(args, value, encode_exactly([fingerprinted]), True, most_bytes - self._left_bytes)

    async def _form(self, content_type: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The fields by their names, files and others; several of one name are an array."""
        parts = Multipart(content_type, paced(self._request, self._settings.body_timeout_s))
        values: dict[str, list[Any]] = {}
        fingerprinted: dict[str, list[Any]] = {}
        while (head := await parts.next_part()) is not None:
            if head.filename is None:
                value = stands_for = await self._field(head, parts.data())
            else:
                value, stands_for = await self._file(head.filename, head.content_type, parts.data())
            values.setdefault(head.name, []).append(value)
            fingerprinted.setdefault(head.name, []).append(stands_for)
        if not values:
            raise Problem(400, "the form has no field and no file")
        return _single(values), _single(fingerprinted)

    async def _field(self, head: PartHead, pieces: AsyncIterator[bytes]) -> Any:
        most_bytes, data = self._settings.max_input_bytes, bytearray()
        async for piece in pieces:
            data += piece
            if len(data) > most_bytes:
                raise Problem(413, f"the field {head.name[:100]!r} is larger than {most_bytes} bytes")
        media_type = head.content_type.partition(";")[0].strip().lower()
        try:
            if media_type == "application/json" or media_type.endswith("+json"):
                return loads_bounded(bytes(data))
            return data.decode()
        except (NotJson, UnicodeDecodeError) as error:
            kind = "JSON" if isinstance(error, NotJson) else "UTF-8"
            raise Problem(400, f"the field {head.name[:100]!r} is no {kind}") from None

    async def _file(
        self, own_name: str, content_type: str, pieces: AsyncIterator[bytes]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The object that stands for a file in the input, and the one that does in the fingerprint."""
        self._count += 1
        if self._count > MOST_FILES:
            raise Problem(400, f"the form has more than {MOST_FILES} files")
        digest = hashlib.sha256()

        async def digested() -> AsyncIterator[bytes]:
            async for piece in pieces:
                digest.update(piece)
                yield piece

        name = new_name(own_name)
        size_bytes = await self._store.put(self._prefix + name, digested(), content_type, self._left_bytes)
        self._left_bytes -= size_bytes
        about = {"content_type": content_type or "application/octet-stream", "size_bytes": size_bytes}
        if own_name:
            about["name"] = own_name[:MOST_NAME_CHARS]
        return {"url": f"/files/{self._job_id}/{name}", **about}, {"sha256": digest.hexdigest(), **about}


def _single(values: dict[str, list[Any]]) -> dict[str, Any]:
    return {name: several[0] if len(several) == 1 else several for name, several in values.items()}


def _too_large(most_bytes: int) -> Problem:
    return Problem(413, f"the files are larger than {most_bytes} bytes")
