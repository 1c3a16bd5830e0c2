"""Ending tasks."""

from __future__ import annotations

import asyncio

from workers.stream.link.ending import end


async def test_a_task_that_swallows_its_first_cancel_ends() -> None:
    cancels = 0

    async def stubborn() -> None:
        nonlocal cancels
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancels += 1
                if cancels == 2:
                    raise

    async def failing() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(failing())]
    await asyncio.sleep(0)
    await end(*tasks)
    assert all(task.done() for task in tasks)
    assert cancels == 2
    await end()
