"""Python's values to JSON: what a model or a function returned, and what is handed to it."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from workers.wire.decode import loads
from workers.wire.limits import MAX_NESTING, MIN_DEEP_BYTES, TOO_DEEP, NotJson, brackets_of, is_too_deep
from workers.wire.plain import Plainer, is_finite
from workers.wire.result import EncodedResult

if TYPE_CHECKING:
    from workers.wire.plain import Files

Warnings: TypeAlias = "list[dict[str, str]]"

# orjson would leave out a dataclass's fields that begin with an underscore.
_PLAIN = orjson.OPT_PASSTHROUGH_DATACLASS
_WITH_NUMPY = _PLAIN | orjson.OPT_SERIALIZE_NUMPY  # imports numpy
_NAT = b"1677-09-21T00:12:43.145224"
_NO_WARNINGS: Warnings = []


def encode(value: Any, files: Files | None = None) -> tuple[bytes, Warnings]:
    """The value as JSON on one line, and what was lost: at most `MAX_WARNINGS` of {"pointer", "detail"}, and a rest.

    `files` keeps the files in it. Raises NotJson for what has no sensible JSON.
    """
    try:
        body = orjson.dumps(value, option=_PLAIN)
    except TypeError:
        return _encode_any(value, files)
    # orjson writes NaN and infinities as null. (`in` takes six times as long as `find`.)
    if body.find(b"null") >= 0 and value is not None and not is_finite(value):
        return _encode_any(value, files)
    if len(body) >= MIN_DEEP_BYTES and is_deep(body):
        raise NotJson(TOO_DEEP)
    return body, _NO_WARNINGS


def encode_exactly(value: Any) -> bytes:
    """The value as JSON on one line. Raises NotJson also for what `encode` would warn of."""
    body, warnings = encode(value)
    if warnings:
        detail, pointer = warnings[0]["detail"].replace("became", "would become"), warnings[0]["pointer"]
        raise NotJson(f"{detail}, at {pointer}" if pointer else detail)
    return body


def encode_result(value: Any, files: Files | None = None) -> EncodedResult:
    """What a model returned. `files` keeps the files in it. Raises NotJson."""
    body, warnings = encode(value, files)
    if not body.startswith(b"{") or body.find(b'"input"') < 0:
        has_input = False
    else:
        has_input = "input" in (value if type(value) is dict else loads(body))
    return EncodedResult(body, has_input, orjson.dumps(warnings) if warnings else b"")


def canonical(value: Any) -> bytes:
    """A value that was read from JSON, written so that the order of members makes no difference."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a long integer
        return orjson.dumps(Plainer().plain(value), option=orjson.OPT_SORT_KEYS)


def is_deep(body: bytes) -> bool:
    """Whether JSON is nested deeper than `MAX_NESTING`: orjson counts no tuples when it writes."""
    brackets = brackets_of(body)
    # Usually they go away in pairs, one level after the other, in a few rounds.
    for _ in range(MAX_NESTING):
        rest = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if not rest:
            return False
        if len(rest) == len(brackets):
            break
        brackets = rest
    return is_too_deep(loads(body))


def _encode_any(value: Any, files: Files | None) -> tuple[bytes, Warnings]:
    # orjson is quicker with arrays in the usual layout. It writes NaT as a date.
    if "numpy" in sys.modules:
        with contextlib.suppress(TypeError):
            body = orjson.dumps(value, option=_WITH_NUMPY)
            if body.find(b"null") < 0 and body.find(_NAT) < 0 and not is_deep(body):
                return body, _NO_WARNINGS
    plainer = Plainer(files)
    return orjson.dumps(plainer.plain(value)), plainer.warnings
