"""What JSON may look like here, inputs and results alike."""

from __future__ import annotations

from typing import Any

import orjson

# Arrays and objects inside each other. It is as deep as orjson writes lists and dicts.
MAX_NESTING = 254

# Shorter JSON can't be nested deeper than that.
MIN_DEEP_BYTES = 2 * (MAX_NESTING + 1)

# Python's own limit for reading and writing an integer, `sys.int_info.default_max_str_digits`.
MAX_INT_DIGITS = 4300

# A result's warnings: how many are kept, and how long the pointer of one may be.
MAX_WARNINGS = 10
MAX_POINTER_CHARS = 200

# A model's schema, as JSON.
MAX_SCHEMA_BYTES = 65_536

TOO_DEEP = f"it is nested more than {MAX_NESTING} deep"
TOO_LONG = f"an integer has more than {MAX_INT_DIGITS} digits"

_ALL_BUT_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")


class NotJson(ValueError):  # noqa: N818
    """Something is no JSON, or can't be made JSON. The message says what and, of a value, where."""


class OverLimit(NotJson):
    """It would be JSON, but it exceeds a limit, which the message names."""


def brackets_of(data: bytes) -> bytes:
    """The brackets of JSON, in strings too, if there are enough of them to nest deeper than `MAX_NESTING`."""
    if len(data) < MIN_DEEP_BYTES:
        return b""
    brackets = data.translate(None, _ALL_BUT_BRACKETS)
    return brackets if len(brackets) >= MIN_DEEP_BYTES else b""


def is_too_deep(value: Any) -> bool:
    """Whether a value that was read from JSON is nested deeper than `MAX_NESTING`."""
    try:
        orjson.dumps(value)
    except TypeError:  # also of long integers, which say nothing about the depth
        return _nesting(value) > MAX_NESTING
    return False


def _nesting(value: Any) -> int:
    depth, level = 0, [value]
    while level := [part for part in level if isinstance(part, list | dict)]:
        depth += 1
        level = [part for one in level for part in (one.values() if isinstance(one, dict) else one)]
    return depth
