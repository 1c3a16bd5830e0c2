"""A push's input: the query's text, or a JSON body."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from gateway.errors import Problem

if TYPE_CHECKING:
    from starlette.requests import Request


async def read_args(request: Request, max_bytes: int) -> bytes:
    """The job's positional arguments: a JSON array of the one input. Raises Problem (400, 413, 415)."""
    body = await _read(request, max_bytes)
    text = request.query_params.get("input", "")
    if not body:
        if not text:
            raise Problem(400, "empty input")
        return b"[" + _encoded(text, max_bytes) + b"]"
    if text:
        raise Problem(400, "the input is given twice: in the query and as a body")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json" and not content_type.endswith("+json"):
        raise Problem(415, "a body must be application/json")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"the body is not JSON: {error}") from None
    if value == "":
        raise Problem(400, "empty input")
    return b"[" + body + b"]"


async def _read(request: Request, max_bytes: int) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def _encoded(text: str, max_bytes: int) -> bytes:
    if len(text.encode(errors="replace")) > max_bytes:
        raise _too_large(max_bytes)
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        raise Problem(400, "the input is not valid UTF-8") from None


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, f"the input is larger than {max_bytes} bytes")
