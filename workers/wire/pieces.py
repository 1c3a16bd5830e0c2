"""Values that come one after the other, kept as JSON until there are no more: their size is known at any time."""

from __future__ import annotations

import io
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from workers.wire.encode import encode, encode_result, is_deep
from workers.wire.limits import TOO_DEEP, NotJson
from workers.wire.plain import Plainer
from workers.wire.result import EncodedResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.wire.plain import Files


class Pieces(Protocol):
    """What is made of the values."""

    @property
    def size_bytes(self) -> int:
        """Of the JSON so far."""

    def add(self, value: Any) -> bytes:
        """Takes the next value; the result is its JSON. Raises NotJson."""

    def result(self) -> EncodedResult:
        """All of them. Raises NotJson."""


class _NoPaths:
    """Refuses paths, any of which may be a file's: what has one is written once more, where its place is known."""

    def kept(self, value: Any, _path: Sequence[str | int], _warn: Callable[[str], None]) -> None:
        if isinstance(value, PathLike):
            raise NotJson("a path")


class ArrayPieces:
    """One JSON array. Warnings and errors name a value's place in it. `files` keeps the files in the values."""

    def __init__(self, files: Files | None = None) -> None:
        self._body = bytearray(b"[")
        self._count = 0
        self._plainer = Plainer(files)
        self._no_paths = _NoPaths() if files is not None else None

    @property
    def size_bytes(self) -> int:
        return max(len(self._body), 2)  # the last comma becomes the bracket

    def add(self, value: Any) -> bytes:
        try:
            body, warnings = encode(value, self._no_paths)
        except NotJson:
            body, warnings = b"", [{}]
        if warnings:
            body = orjson.dumps(self._plainer.plain(value, self._count))  # once more, as its place is known here
        self._body += body
        self._body += b","
        self._count += 1
        return body

    def result(self) -> EncodedResult:
        body = bytes(self._body[:-1] if self._count else self._body) + b"]"
        if is_deep(body):
            raise NotJson(TOO_DEEP)
        warnings = self._plainer.warnings
        return EncodedResult(body, has_input=False, warnings=orjson.dumps(warnings) if warnings else b"")


class TextPieces:
    """One text: the values are texts, too."""

    def __init__(self, _files: Files | None = None) -> None:
        self._size_bytes = 2
        self._text = io.StringIO()

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def add(self, value: Any) -> bytes:
        if not isinstance(value, str):
            raise NotJson("texts were announced by the annotation of what predict returns")
        body = encode(value)[0]
        self._size_bytes += len(body) - 2
        self._text.write(value)
        return body

    def result(self) -> EncodedResult:
        return encode_result(self._text.getvalue())
