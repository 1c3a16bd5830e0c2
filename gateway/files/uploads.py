"""Files that are sent before the push that needs them: POST /uploads, PUT /uploads/{id}.

Until a push takes it, an upload has a key of its own, which only its owner's requests find. A sweep deletes it later.
"""

from __future__ import annotations

import hashlib
import logging
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.files.pace import paced, place
from gateway.http.bodies.content import check_codings
from gateway.http.errors import Problem
from gateway.http.responses import JsonResponse
from gateway.keys.limits import too_many_uploads
from workers.objects.errors import ObjectMissing, ObjectTooLarge
from workers.objects.names import UPLOAD_ID, job_prefix, new_name, shown_name, type_of
from workers.objects.sweep import MIN_AGE_S
from workers.stream import is_unavailable

if TYPE_CHECKING:
    from starlette.responses import Response

    from gateway.context import Context
    from gateway.http.request import HttpRequest
    from workers.objects.store import ObjectStore

logger = logging.getLogger(__name__)

PATH = "/uploads/"
UPLOADS = f'"{PATH}'.encode()
"""What is in an input that names an upload."""
MOST_NAME_CHARS = 200
"""How long the name of a file in an input is."""
_MOST_FOUND = 100


async def uploads(context: Context, request: HttpRequest) -> Response:
    """POST /uploads: where to PUT a file, which a push may then name; 201. Raises Problem (401, 404, 429, 503)."""
    owner, store = context.api_keys.owner(request), _store_of(context)
    settings = context.settings
    own_name = shown_name(new_name(request.query.get("name", "file")))
    upload_id = f"{os.urandom(16).hex()}-{own_name}"
    url, expires_s = f"{settings.root_path}{PATH}{upload_id}", MIN_AGE_S
    if settings.presign_s:
        valid_s = min(MIN_AGE_S, settings.presign_s)
        if presigned := store.presigned("PUT", _key(context, owner, upload_id), valid_s):
            await _count(context, owner, 1, 0)  # how much is sent there, the gateway does not see
            url, expires_s = presigned, valid_s
    document = {"file": {"url": PATH + upload_id}, "put": url, "expires_s": round(expires_s)}
    return JsonResponse(document, 201, {"Location": f"{settings.root_path}{PATH}{upload_id}"})


async def upload(context: Context, request: HttpRequest) -> Response:
    """PUT /uploads/{id}: takes the file. Raises Problem (400, 401, 404, 408, 413, 415, 429, 503)."""
    owner, store = context.api_keys.owner(request), _store_of(context)
    upload_id, settings = request.path_parameter("id"), context.settings
    if not UPLOAD_ID.fullmatch(upload_id):
        raise Problem(404, "there is no such upload")
    check_codings(request)
    if request.header(b"content-range") is not None:  # RFC 9110, section 14.5
        raise Problem(400, "a part of a file is not taken: send it whole, without Content-Range")
    async with place(context.uploads):
        held_bytes, size_bytes = _most_bytes_of(request, settings.max_object_bytes), 0
        await _count(context, owner, 1, held_bytes)
        try:
            key = _key(context, owner, upload_id)
            body = paced(request, settings.body_timeout_s)
            size_bytes = await store.put(key, body, type_of(upload_id), settings.max_object_bytes)
        except ObjectTooLarge as error:
            raise Problem(413, f"the file can't be taken: {error}") from None
        finally:
            if size_bytes < held_bytes:
                await _give_back(context, owner, held_bytes - size_bytes)
    return JsonResponse({"file": {"url": PATH + upload_id}, "size_bytes": size_bytes})


def _most_bytes_of(request: HttpRequest, most_bytes: int) -> int:
    """How many bytes of a body are taken at most; without Content-Length, that of the largest file."""
    declared = request.header(b"content-length")
    return most_bytes if declared is None else min(most_bytes, int(declared.lstrip("0")[:19] or 0))


async def _count(context: Context, owner: str, uploads: int, size_bytes: int) -> None:
    """Counts an upload before it comes. Raises Problem 429."""
    limits = (context.settings.uploads_per_hour, context.settings.upload_bytes_per_hour)
    if refusal := await context.stream.uploads.count(owner, uploads, size_bytes, *limits):
        raise too_many_uploads(refusal, *limits)


async def _give_back(context: Context, owner: str, size_bytes: int) -> None:
    """Takes back what was counted of an upload and did not come. While the stream is away, it stays counted."""
    try:
        await _count(context, owner, 0, -size_bytes)
    except Exception as error:
        if not is_unavailable(error):
            raise
        logger.warning("%d bytes of an upload that did not come stay counted: %s", size_bytes, error)


def names_uploads(args: bytes) -> bool:
    """Whether there may be an upload in a job's arguments."""
    return UPLOADS in args


class TakenUploads(NamedTuple):
    """An input whose uploads were copied to its job, how many these are, and their size in bytes."""

    value: Any
    uploads: int
    size_bytes: int


async def taken(context: Context, owner: str, job_id: str, value: Any, keys: list[str] | None = None) -> TakenUploads:
    """Copies the uploads of an input to its job, with which they then go. Raises Problem (400, 413, 503).

    `keys` gets those of the copies, also if this raises.
    """
    taking = _Taking(context, _store_of(context), owner, job_id, [] if keys is None else keys)
    found = await taking.taken(value)
    return TakenUploads(found, taking.count, context.settings.max_object_bytes - taking.left_bytes)


class _Taking:
    """The uploads that one input names."""

    def __init__(self, context: Context, store: ObjectStore, owner: str, job_id: str, keys: list[str]) -> None:
        self._context = context
        self._store = store
        self._owner = owner
        self._job_id = job_id
        self._keys = keys
        self.count = 0
        self.left_bytes = context.settings.max_object_bytes

    async def taken(self, value: Any) -> Any:
        if isinstance(value, list):
            return [await self.taken(item) for item in value]
        if not isinstance(value, dict):
            return value
        url = value.get("url")
        if isinstance(url, str) and url.startswith(PATH) and UPLOAD_ID.fullmatch(url.removeprefix(PATH)):
            copy = await self._copy(url.removeprefix(PATH))
            if isinstance(name := value.get("name"), str) and name:
                # The client's own, as of a file in a form: an upload's id has no other letters than ASCII's.
                copy["name"] = name[:MOST_NAME_CHARS]
            return {**value, **copy}
        return {name: await self.taken(member) for name, member in value.items()}

    async def _copy(self, upload_id: str) -> dict[str, Any]:
        self.count += 1
        if self.count > _MOST_FOUND:
            raise Problem(400, f"the input names more than {_MOST_FOUND} uploads")
        own_name = upload_id.partition("-")[2]
        name, key = new_name(own_name), _key(self._context, self._owner, upload_id)
        try:
            size_bytes = (await self._store.head(key)).size_bytes
            # A presigned URL can't bound what is sent there.
            self.left_bytes -= size_bytes
            if self.left_bytes < 0:
                raise Problem(413, f"the files are larger than {self._context.settings.max_object_bytes} bytes")
            copy = job_prefix(self._context.settings.queue_name, self._job_id) + name
            self._keys.append(copy)
            await self._store.copy(key, copy)
        except ObjectMissing:
            raise Problem(400, f"the upload {PATH}{upload_id} is not there (any more)") from None
        url = f"/files/{self._job_id}/{name}"
        return {"url": url, "name": own_name, "content_type": type_of(name), "size_bytes": size_bytes}


def _key(context: Context, owner: str, upload_id: str) -> str:
    """As of a job that there never is, so that a sweep finds it. Another owner's key is another one."""
    digest = hashlib.sha256(f"{owner} {upload_id}".encode()).hexdigest()[:32]
    return job_prefix(context.settings.queue_name, f"upload-{digest}") + upload_id.partition("-")[2]


def _store_of(context: Context) -> ObjectStore:
    if context.objects is None:
        raise Problem(404, "this gateway has no object store (OBJECT_STORE)")
    return context.objects
