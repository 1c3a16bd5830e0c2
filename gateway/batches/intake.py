"""Receives the inputs of a batch. They go to the server as they come, where nobody sees them until all are there.

What single pushes keep in the object store goes there.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from gateway.batches.objects import REFERENCE_BYTES, BatchObjects
from gateway.files.uploads import UPLOADS
from gateway.http.bodies.content import check_codings, check_marks, has_lines
from gateway.http.bodies.elements import ArrayElements, BadElements, Lines, TooLongElement
from gateway.http.errors import Problem
from workers.wire.decode import loads_bounded
from workers.wire.encode import canonical
from workers.wire.limits import NotJson, OverLimit

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.context import Context
    from gateway.http.request import HttpRequest

# What is held here before it goes to the server.
_CHUNK_BYTES = 262_144
_CHUNK_INPUTS = 1000


class Intake:
    """The inputs of one batch. `rest` has those that were not staged: all of them, if they are few and small.

    `count` is how many there are, `size_bytes` what they and their files take. With `is_keyed`, `fingerprint` is the
    SHA-256 of their canonical forms in hex.
    """

    def __init__(self, context: Context, batch_id: str, owner: str, is_keyed: bool) -> None:
        self._context = context
        self._id = batch_id
        self._hash = hashlib.sha256() if is_keyed else None
        self._objects = BatchObjects(context, batch_id, owner)
        self._rest_bytes = self._staged_bytes = self._inputs_bytes = 0
        self._limit = asyncio.timeout(None)
        self.count = 0
        self.rest: list[bytes] = []

    @property
    def size_bytes(self) -> int:
        """Of all that has come."""
        return self._inputs_bytes + self._objects.files_bytes

    @property
    def fingerprint(self) -> str:
        """Of the inputs that have come; empty unless it `is_keyed`."""
        return self._hash.hexdigest() if self._hash else ""

    async def read(self, request: HttpRequest) -> None:
        """Receives the body. Raises Problem (400, 408, 413, 415, 422, 503), ClientDisconnect, what the stream does."""
        settings = self._context.settings
        check_codings(request)
        most_bytes = settings.max_input_bytes
        elements = Lines(most_bytes) if has_lines(request) else ArrayElements(most_bytes)
        declared = request.header(b"content-length")
        if declared and int(declared.lstrip("0")[:19] or 0) > settings.max_batch_bytes:
            raise _too_large(settings.max_batch_bytes)
        try:
            async with asyncio.timeout(settings.body_timeout_s) as self._limit:
                await self._read(request, elements, settings.max_batch_bytes)
        except TimeoutError:
            text = f"the body took longer than {settings.body_timeout_s:g} s"
            raise Problem(408, text, {"Connection": "close"}) from None
        except BadElements as error:
            raise Problem(400, str(error)) from None
        except TooLongElement:
            raise Problem(413, f"an input is larger than {most_bytes} bytes", index=self.count) from None
        if not self.count:
            raise Problem(400, "the batch has no inputs")
        await self._objects.settled()
        if self._staged_bytes and self.rest:
            await self._stage()

    async def close(self, are_jobs: bool | None) -> None:
        """Forgets what was staged and stored, unless it has become jobs; None: that is not known."""
        self._context.staging.release(self._staged_bytes)
        try:
            if self._staged_bytes and not are_jobs:
                await self._context.stream.batches.unstage(self._id)
        finally:
            await self._objects.close(are_jobs is not False)

    async def _read(self, request: HttpRequest, elements: Lines | ArrayElements, most_bytes: int) -> None:
        received_bytes = 0
        async for chunk in request.body():
            if received_bytes < len(b"\0\0\0\0"):
                check_marks(chunk)
            received_bytes += len(chunk)
            if received_bytes > most_bytes:
                raise _too_large(most_bytes)
            for element in elements.feed(chunk):
                if self._add(element):
                    await self._untimed(self._objects.take(self.rest, self.count - 1))
                if self._rest_bytes >= _CHUNK_BYTES or len(self.rest) >= _CHUNK_INPUTS + 1:
                    await self._untimed(self._objects.settled())
                    await self._stage()
        for element in elements.end():
            if self._add(element):
                await self._untimed(self._objects.take(self.rest, self.count - 1))

    async def _untimed(self, wait: Awaitable[None]) -> None:
        """Waits for the object store, which is none of the time that the client has for its body."""
        until_s, loop = self._limit.when(), asyncio.get_running_loop()
        began_s = loop.time()
        self._limit.reschedule(None)
        await wait
        if until_s is not None:
            self._limit.reschedule(until_s + loop.time() - began_s)

    def _add(self, text: bytes) -> bool:
        """Puts an input to the others; whether it goes to the object store."""
        place, settings = self.count, self._context.settings
        if place >= settings.max_batch_jobs:
            raise Problem(413, f"a batch has at most {settings.max_batch_jobs} inputs")
        try:
            value = loads_bounded(text)
        except OverLimit as error:
            raise Problem(400, f"the input is not taken: {error}", index=place) from None
        except NotJson as error:
            raise Problem(400, f"the input is not JSON: {error}", index=place) from None
        if value == "":
            raise Problem(400, "the input is empty", index=place)
        args = b"[%b]" % text
        objects = self._objects
        is_large, has_uploads = len(args) > objects.inline_bytes, objects.is_open and UPLOADS in args
        if not has_uploads:  # otherwise it is checked when they are in it
            try:
                self._context.schemas.check(value)
            except Problem as problem:
                problem.members["index"] = place
                raise
        if self._hash:
            self._hash.update(canonical(value) + b"\n")
        self.count += 1
        self._inputs_bytes += len(args)
        self._rest_bytes += REFERENCE_BYTES if is_large else len(args)
        self.rest.append(args)
        return is_large or has_uploads

    async def _stage(self) -> None:
        size_bytes = sum(map(len, self.rest))
        self._context.staging.hold(size_bytes)
        self._staged_bytes += size_bytes
        staged, self.rest, self._rest_bytes = self.rest, [], 0
        await self._context.stream.batches.stage(self._id, staged)


def _too_large(most_bytes: int) -> Problem:
    return Problem(413, f"the batch is larger than {most_bytes} bytes")
