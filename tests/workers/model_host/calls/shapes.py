"""Models of each shape that `predict` may have."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, InstanceOf, field_validator
from typing_extensions import TypedDict

from tests.workers.models import tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterable, Iterator


def note(what: str) -> None:
    """Appends a line to the file that `ENDING_FILE` names."""
    with Path(os.environ["ENDING_FILE"]).open("a") as file:
        file.write(f"{what}\n")


def noted(file: Path) -> list[str]:
    """The lines that were noted there."""
    return file.read_text().splitlines() if file.exists() else []


class Async:
    """Does what the input says, as `Scripted` does, on the event loop of its process."""

    def __init__(self) -> None:
        self.loop = asyncio.get_event_loop()
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    async def predict(self, input: Any) -> Any:  # noqa: A002
        name, *arguments = input
        return await getattr(self, name)(*arguments)

    async def close(self) -> None:
        await asyncio.sleep(0)
        note("close" if asyncio.get_running_loop() is self.loop else "close on another loop")

    async def echo(self, value: Any) -> Any:
        return value

    async def pid(self) -> int:
        return os.getpid()

    async def same_loop(self) -> bool:
        return asyncio.get_running_loop() is self.loop

    async def keep(self, value: Any) -> None:
        """Hands the value to a later call, by a task that waits for that."""
        self.task = asyncio.create_task(self.queue.get())
        await asyncio.sleep(0)
        await self.queue.put(value)

    async def kept(self) -> Any:
        return await self.task

    async def leave_task(self) -> None:
        self.task = asyncio.create_task(self.wait_forever())
        await asyncio.sleep(0)

    async def wait_forever(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            note("task")

    async def fail(self, message: str) -> None:
        await asyncio.sleep(0)
        raise LookupError(message)

    async def leave(self, code: Any) -> None:
        await asyncio.sleep(0)
        sys.exit(code)

    async def leave_in_task(self, code: Any) -> None:
        task = asyncio.create_task(self.leave(code))
        try:
            await asyncio.Event().wait()
        finally:
            note(f"finally {task.done()}")

    async def raise_cancelled(self) -> None:
        raise asyncio.CancelledError

    async def fork(self, value: Any) -> Any:
        pid = os.fork()
        await asyncio.sleep(0)
        if pid == 0:
            return "of the fork"
        os.waitpid(pid, 0)  # noqa: ASYNC222
        return value

    async def wait(self, file: str) -> None:
        """Waits for what never comes."""
        try:
            tell(file, os.getpid())
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            note("finally")

    async def wait_in_group(self, file: str) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.wait(file))
            group.create_task(self.wait_forever())

    async def block(self, file: str) -> None:
        """Lets nothing else run on the loop."""
        try:
            tell(file, os.getpid())
            time.sleep(600)
        finally:
            note("finally")

    async def block_in_task(self, file: str) -> None:
        await asyncio.create_task(self.block(file))

    async def insist(self, file: str) -> None:
        """Takes no for no answer."""
        tell(file, os.getpid())
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                note("caught")

    async def handle_and_wait(self, file: str) -> str:
        """Has a handler of its own for SIGTERM."""
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        tell(file, os.getpid())
        await told.wait()
        note("handler")
        return "told to end"


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


@dataclass
class Corner:
    x: int
    y: int = 0


class Parcel(BaseModel):
    corner: Corner
    size: Annotated[int, Field(ge=1)] = 1


class TakesInteger:
    def predict(self, input: int) -> Any:  # noqa: A002
        return {"value": input, "class": type(input).__name__}


class TakesBox:
    def predict(self, box: Parcel) -> Any:
        return [type(box).__name__, box.corner.x, box.corner.y, box.size]


class TakesMembers:
    def predict(
        self, text: str, numbers: list[int], top_k: Annotated[int, Field(le=10)] = 5, *, raw: Any = None
    ) -> Any:
        return {"text": text, "numbers": numbers, "top_k": top_k, "raw": raw}


class Lucky(Parcel):
    """Its schema does not say all."""

    @field_validator("size")
    @classmethod
    def check_size(cls, size: int) -> int:
        if size == 13:
            raise ValueError("13 brings bad luck")
        return size


class Area(TypedDict):
    area: int


class TakesTyped:
    def predict(self, box: Lucky, factor: float = 1) -> Area:
        return {"area": round(box.size**2 * factor)}


class Indescribable:
    """A class of which pydantic takes no JSON, and can make no schema."""


class TakesUndescribed:
    def predict(self, image: Annotated[Indescribable, InstanceOf()]) -> Any:
        raise NotImplementedError


class TakesHuge:
    def predict(self, colour: Literal[tuple(f"colour-{n}" for n in range(10_000))]) -> Any:  # type: ignore[valid-type]
        raise NotImplementedError


class TakesUntyped:
    def predict(self, a, b=2, /, c=3, **rest):  # type: ignore[no-untyped-def]
        return [a, b, c, rest]


class TakesNothing:
    def predict(self) -> str:
        return "nothing"


class TakesStarred:
    def predict(self, *inputs: Any) -> Any:
        raise NotImplementedError


class Pixels:
    """A class that pydantic knows nothing of."""


class TakesTensor:
    def predict(self, image: Pixels) -> Any:
        raise NotImplementedError


class TakesField:
    """Loads for minutes: what can't be served is told before."""

    def __init__(self) -> None:
        time.sleep(600)

    def predict(self, text: str, top_k: int = Field(5, le=10)) -> Any:
        raise NotImplementedError


class TakesUnresolved:
    def predict(self, input: "np.ndarray") -> Any:  # type: ignore[name-defined]  # noqa: A002, F821, UP037
        raise NotImplementedError


class TakesByObject:
    """Its `predict` is no method, but an object that can be called."""

    def __init__(self) -> None:
        self.predict = CallableModule()


class CallableModule:
    def __call__(self, *args: Any) -> Any:
        return list(args)
