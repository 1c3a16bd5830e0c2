"""A model with coroutines."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import Any

from tests.workers.model_host.calls.notes import note
from tests.workers.models import tell


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
