"""What a generator yields, collected to one result: a list, a text, or what the generator returns in the end."""

from __future__ import annotations

import collections.abc
import contextlib
import re
import typing
from typing import TYPE_CHECKING, Any

from workers.model_host.calls.failures import Refusal
from workers.model_host.calls.outputs.encoding import no_json
from workers.wire.limits import NotJson
from workers.wire.pieces import ArrayPieces, Pieces, TextPieces

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from workers.model_host.calls.outputs.files import ResultFiles

_KINDS = ("Iterator", "Iterable", "Generator", "AsyncIterator", "AsyncIterable", "AsyncGenerator")
_ORIGINS = tuple(getattr(collections.abc, kind) for kind in _KINDS)
_TEXTS = re.compile(rf"(\w+\.)*({'|'.join(_KINDS)})\[\s*str\s*[\],]")


def yields_text(function: Callable[..., Any]) -> bool:
    """Whether a function's annotation says that it yields texts."""
    annotation = getattr(function, "__annotations__", {}).get("return")
    if isinstance(annotation, str):
        # Its names may exist for the type checker only, as those below `if TYPE_CHECKING`.
        return _TEXTS.match(annotation.strip("'\" ")) is not None
    return typing.get_origin(annotation) in _ORIGINS and typing.get_args(annotation)[0] is str


class Collector:
    """Collects what generators yield, and hands each piece on as JSON (`tell`) at once.

    Each generator is closed in every case.
    """

    def __init__(self, as_text: bool, max_result_bytes: int) -> None:
        self._pieces: Callable[[ResultFiles], Pieces] = TextPieces if as_text else ArrayPieces
        self._max_bytes = max_result_bytes

    def collect(self, generator: Generator[Any, None, Any], tell: Callable[[bytes], None], files: ResultFiles) -> Any:
        """What the generator returned, or else what it yielded. Raises Refusal if that is no JSON or too long.

        `files` keeps the files in what it yields.
        """
        pieces = self._pieces(files)
        try:
            while True:
                try:
                    piece = next(generator)
                except StopIteration as end:
                    return self._result(pieces) if end.value is None else end.value
                tell(self._add(pieces, piece))
        except BaseException:
            # What is raised already tells more than a generator that can't be closed.
            with contextlib.suppress(Exception):
                generator.close()
            raise

    async def collect_async(
        self, generator: AsyncGenerator[Any, None], tell: Callable[[bytes], None], files: ResultFiles
    ) -> Any:
        """What it yielded. Raises Refusal if that is no JSON or too long. `files` keeps the files in it."""
        pieces = self._pieces(files)
        try:
            async for piece in generator:
                tell(self._add(pieces, piece))
        except BaseException:
            with contextlib.suppress(Exception):
                await generator.aclose()
            raise
        return self._result(pieces)

    def _add(self, pieces: Pieces, piece: Any) -> bytes:
        try:
            added = pieces.add(piece)
        except NotJson as error:
            raise Refusal("TypeError", f"predict yielded {no_json(piece, error)}") from None
        if pieces.size_bytes > self._max_bytes:
            message = f"what predict has yielded is {pieces.size_bytes} bytes of JSON, {self._max_bytes} are allowed"
            raise Refusal("ResultTooLarge", message)
        return added

    def _result(self, pieces: Pieces) -> Any:
        try:
            return pieces.result()
        except NotJson as error:
            raise Refusal("TypeError", f"what predict yielded can't be written as JSON: {error}") from None
