"""Names of a large JSON object's members, found without its values: to read those takes up to 25 times the memory."""

from __future__ import annotations

import re

_PIECE_BYTES = 65_536
_ASCII_BY_NUMBER = re.compile(rb"\\u00(?:[2-6]|7[0-9a-eA-E])")


def names_among(names: str, text: bytes) -> set[str] | None:
    """Those of `names` (a regular expression) that members of the object `text` have; its values' members don't count.

    `text` must be valid JSON. None if it writes ASCII by numbers (`\\u0069d` is `id`), which no usual encoder does.
    """
    # Of the same length, and every quote is where a string begins or ends.
    plain = text.replace(b"\\\\", b"..").replace(b'\\"', b"..")
    if _ASCII_BY_NUMBER.search(plain):
        return None
    found: set[str] = set()
    depth = done = 0
    for name in re.finditer(rb'"(%b)"[ \t\r\n]*:' % names.encode(), plain):
        depth += _opened(plain, done, name.start())
        done = name.end()
        if depth == 1:
            found.add(name[1].decode())
    return found


def _opened(plain: bytes, start: int, end: int) -> int:
    """How many more brackets are opened than closed there, outside of strings. Neither end is within a string."""
    count = in_string = 0
    for at in range(start, end, _PIECE_BYTES):
        parts = plain[at : min(end, at + _PIECE_BYTES)].split(b'"')
        outside = b"".join(parts[in_string::2])
        in_string ^= (len(parts) - 1) & 1
        count += outside.count(b"[") + outside.count(b"{") - outside.count(b"]") - outside.count(b"}")
    return count
