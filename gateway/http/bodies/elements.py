"""Cuts a body that comes in pieces into JSON values: the elements of an array, or lines. Only the last is kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPACE = b" \t\r\n"
_OUTSIDE = re.compile(rb'["\[\]{},]')
_WITHIN_TEXT = re.compile(rb'["\\]')


class BadElements(ValueError):  # noqa: N818
    """The body as a whole is not what it should be; the message says what is wrong."""


class TooLongElement(ValueError):  # noqa: N818
    """An element is longer than it may be."""


class Lines:
    """The lines of NDJSON (JSON Lines); empty ones are left out. None may be longer than `most_bytes`."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._pieces: list[bytes] = []
        self._size_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that end in this piece. Raises TooLongElement."""
        first, *more = data.split(b"\n")
        self._keep(first)
        for line in more:
            if whole := self._taken():
                yield whole
            self._keep(line)

    def end(self) -> Iterator[bytes]:
        """The last line, if it has no end of its own."""
        if whole := self._taken():
            yield whole

    def _keep(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size_bytes += len(data)
        if self._size_bytes > self._most_bytes + len(b"\r"):
            raise TooLongElement

    def _taken(self) -> bytes:
        line = b"".join(self._pieces).strip(_SPACE)
        self._pieces.clear()
        self._size_bytes = 0
        if len(line) > self._most_bytes:
            raise TooLongElement
        return line


class ArrayElements:
    """The elements of a JSON array, as they were written; none may be longer than `most_bytes`.

    What is between the commas is not looked at: whoever reads an element finds out whether it is JSON.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._pieces: list[bytes] = []  # of the present element
        self._size_bytes = 0
        self._depth = 0  # 0: before the array, 1: in it, more: in an element
        self._is_text = self._is_escaped = False
        self._is_over = False
        self._count = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The elements that end in this piece. Raises BadElements and TooLongElement."""
        at = start = self._begun(data)
        while not self._is_over:
            if (mark := self._next_mark(data, at)) is None:
                break
            code, at = data[mark.start()], mark.end()
            if code in b"[{":
                self._depth += 1
            elif code == 0x2C:  # a comma
                if self._depth == 1:
                    yield self._taken(data[start : mark.start()])
                    start = at
            elif self._depth > 1:
                self._depth -= 1
            elif code == 0x5D:  # the array's own bracket
                yield from self._last(data[start : mark.start()])
                start, self._is_over = at, True
        self._rest(data[start:])

    def _next_mark(self, data: bytes, at: int) -> re.Match[bytes] | None:
        """The next bracket or comma that is not within a text."""
        while True:
            if self._is_escaped and at < len(data):
                self._is_escaped = False
                at += 1
            mark = (_WITHIN_TEXT if self._is_text else _OUTSIDE).search(data, at)
            if mark is None:
                return None
            at = mark.end()
            if mark[0] == b'"':
                self._is_text = not self._is_text
            elif mark[0] == b"\\":
                self._is_escaped = True
            else:
                return mark

    def end(self) -> Iterator[bytes]:
        """Nothing: the last element ends with the array. Raises BadElements if it has not come."""
        if not self._is_over:
            raise BadElements("the array has no end" if self._depth else "the body is no JSON array")
        return iter(())

    def _begun(self, data: bytes) -> int:
        """Where to go on in this piece."""
        if self._depth:
            return 0
        text = data.lstrip(_SPACE)
        if text and not text.startswith(b"["):
            raise BadElements("the body is no JSON array")
        if not text:
            return len(data)
        self._depth = 1
        return len(data) - len(text) + 1

    def _last(self, piece: bytes) -> Iterator[bytes]:
        element = self._taken(piece)
        if element or self._count > 1:
            yield element

    def _rest(self, data: bytes) -> None:
        if self._is_over:
            if data.strip(_SPACE):
                raise BadElements("something comes after the array's end")
        elif self._depth:
            self._keep(data)

    def _keep(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size_bytes += len(data)
        if self._size_bytes > 2 * self._most_bytes + 64:  # white space around it may be as long
            raise TooLongElement

    def _taken(self, piece: bytes) -> bytes:
        self._count += 1
        if self._pieces:
            self._keep(piece)
            piece = b"".join(self._pieces)
            self._pieces.clear()
            self._size_bytes = 0
        element = piece.strip(_SPACE)
        if len(element) > self._most_bytes:
            raise TooLongElement
        return element
