"""Many inputs, some of them at a time, with their results in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

T = TypeVar("T")
R = TypeVar("R")

# So many results may wait for a slower one before them, per job that runs.
_AHEAD = 4


async def mapped(
    run: Callable[[T], Awaitable[R]],
    inputs: Iterable[T],
    concurrency: int,
    on_done: Callable[[], None],
    return_exceptions: bool,
) -> AsyncGenerator[R | Exception, None]:
    """What `run` returns for each input, in their order; `concurrency` of them run at a time.

    Inputs are taken as they are needed. At the first exception, or when the iterator is closed, those that run are
    cancelled. Raises what `run` raises, unless exceptions are to be returned.
    """
    places, window, left = asyncio.Semaphore(concurrency), deque[asyncio.Task[R]](), iter(inputs)

    async def one(value: T) -> R:
        async with places:
            try:
                return await run(value)
            finally:
                on_done()

    def fill() -> None:
        while len(window) < _AHEAD * concurrency:
            try:
                value = next(left)
            except StopIteration:
                return
            window.append(asyncio.create_task(one(value)))

    try:
        fill()
        while window:
            try:
                result: R | Exception = await window[0]
            except Exception as error:
                if not return_exceptions:
                    raise
                result = error
            window.popleft()
            fill()
            yield result
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)
