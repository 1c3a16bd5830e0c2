"""A push's input: the query's text, or a JSON body."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from gateway.http.bodies.content import check_codings, check_json
from gateway.http.errors import Problem
from workers.wire.decode import loads_bounded
from workers.wire.encode import encode_exactly
from workers.wire.limits import NotJson, OverLimit

if TYPE_CHECKING:
    from gateway.http.request import HttpRequest

EMPTY_INPUT = "the input is empty: it is a text as ?input=TEXT, or a JSON value as the body"


class PushedInput(NamedTuple):
    """A job's arguments, its input as it was read, and what stands for it in an idempotency key's fingerprint.

    The arguments are a JSON array with the input as its only element.
    """

    args: bytes
    value: Any
    fingerprinted: bytes
    has_files: bool = False
    files_bytes: int = 0


async def read_args(request: HttpRequest, max_bytes: int, timeout_s: float) -> PushedInput:
    """The input that the query or a JSON body has. Raises Problem (400, 408, 413, 415) and ClientDisconnect."""
    body = await _read(request, max_bytes, timeout_s) if request.has_body else b""
    text = request.query.get("input")
    if not body:
        if not text:
            raise Problem(400, EMPTY_INPUT)
        args = _text_args(text, request.query_string, max_bytes)
        return PushedInput(args, text, args)
    if text is not None:
        raise Problem(400, "the input is given twice: in the query and as a body", parameters=["input"])
    check_json(request, body)
    return _json_args(body)


async def read_call(request: HttpRequest, max_bytes: int, timeout_s: float) -> tuple[bytes, bytes]:
    """A function's arguments: a JSON array, and a JSON object or nothing. The body has them as `args` and `kwargs`.

    Raises Problem (400, 408, 413, 415) and ClientDisconnect.
    """
    body = await _read(request, max_bytes, timeout_s) if request.has_body else b""
    if not body:
        return b"[]", b""
    check_json(request, body)
    value = _value(body)
    if not isinstance(value, dict) or not value.keys() <= {"args", "kwargs"}:
        raise Problem(400, 'the body must be {"args": [...], "kwargs": {...}}, of which either may be left out')
    args, kwargs = value.get("args", []), value.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise Problem(400, "args must be an array and kwargs an object")
    return encode_exactly(args), encode_exactly(kwargs) if kwargs else b""


async def _read(request: HttpRequest, max_bytes: int, timeout_s: float) -> bytes:
    declared = request.header(b"content-length")
    check_codings(request)
    if declared and int(declared.lstrip("0")[:19] or 0) > max_bytes:  # 4,300 digits are the most that `int` takes
        raise _too_large(max_bytes)
    if request.is_whole:  # a time limit costs as much as the rest of the reading
        body = await request.whole_body()
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        return body
    chunks, size = [], 0
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.body():
                size += len(chunk)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                chunks.append(chunk)
    except TimeoutError:
        raise Problem(408, f"the body took longer than {timeout_s:g} s", {"Connection": "close"}) from None
    return b"".join(chunks)


def _text_args(text: str, query: bytes, max_bytes: int) -> bytes:
    is_ascii = text.isascii()
    if (len(text) if is_ascii else len(text.encode(errors="replace"))) > max_bytes:
        raise _too_large(max_bytes)
    # Parsing has replaced bytes that are no UTF-8 by U+FFFD, which is not the input that was meant.
    if not is_ascii and "\ufffd" in text and b"%EF%BF%BD" not in query.upper():
        raise Problem(400, "the input is not valid UTF-8", parameters=["input"])
    return orjson.dumps([text])


def _value(body: bytes) -> Any:
    try:
        return loads_bounded(body)
    except OverLimit as error:
        raise Problem(400, f"the input is not taken: {error}") from None
    except NotJson as error:
        raise Problem(400, f"the body is not JSON: {error}") from None


def _json_args(body: bytes) -> PushedInput:
    if (value := _value(body)) == "":
        raise Problem(400, EMPTY_INPUT)
    # As it was pushed: no number is written anew.
    args = b"[%b]" % body
    return PushedInput(args, value, args)


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, f"the input is larger than {max_bytes} bytes")
