"""Tasks beside a test, and waiting for a condition."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from workers.stream import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

PATIENCE_S = 30.0


@contextlib.asynccontextmanager
async def beside(*coroutines: Coroutine[Any, Any, Any]) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Runs them beside the test; none of them may fail."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            assert not task.done() or task.cancelled() or task.exception() is None, task.exception()
        await end(*tasks)


async def until(condition: Callable[[], Any] | Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Returns once the condition, which may be a coroutine function, holds."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = condition()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(0.02)
