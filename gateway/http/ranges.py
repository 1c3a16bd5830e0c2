"""Which part of a representation a request asks for (RFC 9110, 13 and 14)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from gateway.http.errors import Problem

if TYPE_CHECKING:
    from gateway.http.request import HttpRequest

_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)


class Part(NamedTuple):
    """Bytes from `start` up to `end`; `is_whole` if no part was asked for."""

    start: int
    end: int
    is_whole: bool


def part_of(request: HttpRequest, size_bytes: int, etag: str) -> Part:
    """The part that is asked for. Several ranges, and what is no range, count as none. Raises Problem 416."""
    whole = Part(0, size_bytes, is_whole=True)
    found = _RANGE.fullmatch(request.header(b"range") or "")
    if found is None or found[1] == found[2] == "" or request.header(b"if-range") not in (None, etag):
        return whole
    if not found[1]:  # the last bytes
        start, end = max(0, size_bytes - int(found[2])), size_bytes
    else:
        start, end = int(found[1]), min(size_bytes, int(found[2]) + 1) if found[2] else size_bytes
        if found[2] and int(found[2]) < start:
            return whole
    if start >= end:
        headers = {"Content-Range": f"bytes */{size_bytes}"}
        raise Problem(416, f"the range is outside of the file's {size_bytes} bytes", headers)
    return Part(start, end, is_whole=False)


def is_known(request: HttpRequest, etag: str) -> bool:
    """Whether the client says that it has this very representation (If-None-Match)."""
    known = request.header(b"if-none-match")
    if known is None or not etag:
        return False
    return known.strip() == "*" or etag in [one.strip().removeprefix("W/") for one in known.split(",")]
