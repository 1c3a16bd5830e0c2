"""Models that yield."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from tests.workers.model_host.calls.notes import note
from tests.workers.models import tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterable, Iterator


class Chatty:
    """Yields what its method does that the input names."""

    def predict(self, input: list[Any]) -> Any:  # noqa: A002
        name, *arguments = input
        return getattr(self, name)(*arguments)

    def pid(self) -> int:
        return os.getpid()

    def items(self, values: list[Any]) -> Iterator[Any]:
        yield from values

    async def items_async(self, values: list[Any]) -> AsyncIterator[Any]:
        for value in values:
            await asyncio.sleep(0)
            yield value

    async def items_awaited(self, values: list[Any]) -> Any:
        return self.items_async(values)

    def returns(self, values: list[Any], value: Any) -> Generator[Any, None, Any]:
        yield from values
        return value

    def nothing_then(self, value: Any) -> Generator[None, None, Any]:
        yield
        return value

    def fails_after(self, count: int) -> Iterator[int]:
        try:
            yield from range(count)
            raise LookupError("no more")
        finally:
            note("closed")

    def odd(self, what: str) -> Iterator[Any]:
        values: dict[str, Any] = {
            "nan": {"score": float("nan")}, "bytes": {"image": b"x"}, "tuple": self.deep_tuple(254),
            "decimal": (1, {2}),
        }  # fmt: skip
        yield 1
        yield values[what]

    def deep_tuple(self, depth: int) -> Any:
        return () if depth == 1 else (self.deep_tuple(depth - 1),)

    def endless(self, file: str, size: int) -> Iterator[Any]:
        """Yields texts of that size; tells its pid in `file` first."""
        try:
            tell(file, os.getpid())
            while True:
                yield "x" * size
        finally:
            note("closed")

    async def endless_async(self, file: str, size: int) -> AsyncIterator[Any]:
        try:
            tell(file, os.getpid())
            while True:
                await asyncio.sleep(0)
                yield "x" * size
        finally:
            note("closed")

    def silent(self, file: str) -> Iterator[Any]:
        """Never yields."""
        try:
            tell(file, os.getpid())
            time.sleep(600)
            yield
        finally:
            note("closed")

    def stubborn(self, size: int) -> Iterator[str]:
        """Can't be closed."""
        while True:
            try:
                yield "x" * size
            except GeneratorExit:
                note("asked to close")

    def list_of(self, values: list[Any]) -> list[Any]:
        return values

    def range_of(self, count: int) -> range:
        return range(count)

    def map_of(self, values: list[Any]) -> Any:
        return map(abs, values)


class Words:
    def predict(self, input: Any) -> Iterator[str]:  # noqa: A002
        yield from input


class WordsInQuotes:
    def predict(self, input: Any) -> "Iterable[str]":  # noqa: A002, UP037
        yield from input


class WordsAsync:
    async def predict(self, input: Any) -> AsyncIterator[str]:  # noqa: A002
        for word in input:
            await asyncio.sleep(0)
            yield word


class WordsReturned:
    def predict(self, input: Any) -> Generator[str, None, dict[str, Any]]:  # noqa: A002
        yield from input
        return {"words": len(input)}
