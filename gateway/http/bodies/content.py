"""What a body may be: JSON in UTF-8, as it is. Everything else is refused with a sentence that says what to do."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from gateway.http.errors import Problem

if TYPE_CHECKING:
    from gateway.http.request import HttpRequest

_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^\s";]*)', re.IGNORECASE)
_CHARSETS = {"utf-8", "utf8", "us-ascii", "ascii"}
_MARKS = {codecs.BOM_UTF8: "UTF-8", codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
_MOST_SHOWN_CHARS = 100
URL_ENCODED = "application/x-www-form-urlencoded"
"""What curl's `--data` and HTML forms without files send."""
LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")


def check_codings(request: HttpRequest) -> None:
    """Raises Problem (400, 415) if the body is compressed, or transferred in another coding than chunked."""
    transfer = request.header(b"transfer-encoding")
    if transfer is not None and transfer.strip().lower() != "chunked":
        raise Problem(400, f"Transfer-Encoding {_shown(transfer)} is not taken: send the body as it is, or chunked")
    content = request.header(b"content-encoding")
    if content is not None and content.strip().lower() not in ("", "identity"):
        raise Problem(
            415,
            f"a body with Content-Encoding {_shown(content)} is not taken: send it uncompressed, without that header",
            {"Accept-Encoding": "identity"},
        )


def check_json(request: HttpRequest, body: bytes) -> None:
    """Raises Problem (400, 415) unless the content type is JSON, in UTF-8 without a byte order mark."""
    if not is_plain_json(request):
        if not _is_json(request):
            how = ": curl sends that with --json" if _media_type(request) == URL_ENCODED else ""
            raise Problem(415, f"a body must be application/json{how}", {"Accept-Post": "application/json"})
        _check_charset(request)
    check_marks(body)


def is_plain_json(request: HttpRequest) -> bool:
    """Whether the content type is the one that nearly all clients send for JSON, to the letter."""
    return request.header(b"content-type") == "application/json"


def has_lines(request: HttpRequest) -> bool:
    """Whether the content type is NDJSON rather than JSON. Raises Problem 415 if it is neither, in UTF-8."""
    lines = _media_type(request) in LINES
    if not lines and not _is_json(request):
        both = f"application/json, {LINES[0]}"
        raise Problem(415, "a body must be application/json or application/x-ndjson", {"Accept-Post": both})
    _check_charset(request)
    return lines


def _media_type(request: HttpRequest) -> str:
    return (request.header(b"content-type") or "").partition(";")[0].strip().lower()


def _is_json(request: HttpRequest) -> bool:
    media_type = _media_type(request)
    return media_type == "application/json" or media_type.endswith("+json")


def _check_charset(request: HttpRequest) -> None:
    content_type = request.header(b"content-type") or ""
    charset = _CHARSET.search(content_type)
    if charset and charset[1].lower() not in _CHARSETS:
        raise Problem(
            415,
            f"a body in the charset {_shown(charset[1])} is not taken: JSON is sent in UTF-8",
            {"Accept-Post": "application/json"},
        )


def check_marks(body: bytes) -> None:
    """Raises Problem 400 if the body's beginning says that it is not UTF-8, or has a byte order mark."""
    for mark, name in _MARKS.items():
        if body.startswith(mark):
            raise Problem(400, f"the body begins with a byte order mark of {name}: send JSON in UTF-8, without a mark")
    if b"\0" in body[:4]:
        raise Problem(400, "the body is UTF-16 or UTF-32: send JSON in UTF-8")


def _shown(value: str) -> str:
    return repr(value if len(value) <= _MOST_SHOWN_CHARS else value[: _MOST_SHOWN_CHARS - 3] + "...")
