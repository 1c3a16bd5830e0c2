"""Models that run several jobs at once in one process. Each input says what is to become of its job."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

from tests.workers.models import tell
from workers.broken import Broken
from workers.job import current

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Sharer:
    """Up to twenty jobs at once, each the name of one of its methods and that method's arguments."""

    max_concurrency: Any = 20

    def __init__(self) -> None:
        self.met = 0
        self.most = 0
        self.now = 0

    async def predict(self, input: Any) -> Any:  # noqa: A002
        name, *arguments = input
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            result = getattr(self, name)(*arguments)
            return await result if asyncio.iscoroutine(result) else result
        finally:
            self.now -= 1

    async def echo(self, value: Any) -> Any:
        for _ in range(3):
            await asyncio.sleep(0)
        return value

    async def meets(self, count: int) -> tuple[int, str]:
        """Returns once so many jobs are here at the same time: its pid and the job's id."""
        self.met += 1
        while self.met < count:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        return os.getpid(), current().id

    def most_at_once(self) -> int:
        return self.most

    def pid(self) -> int:
        return os.getpid()

    async def tells(self, name: str, count: int) -> AsyncIterator[str]:
        await self.meets(2)
        for number in range(count):
            current().log(f"{name} of {current().id}")
            await asyncio.sleep(0)
            yield f"{name} {number}"

    async def waits(self, file: str, until: str = "") -> str:
        """Tells its pid in `file`, and returns once the file `until` exists."""
        tell(file, os.getpid())
        while not (until and os.path.exists(until)):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        return until

    async def watches(self, file: str) -> None:
        """Has a thread tell that it saw the cancel."""
        tell(file, os.getpid())

        def look() -> None:
            while not current().cancelled:
                time.sleep(0.002)
            tell(f"{file}-seen", 1)

        await asyncio.to_thread(look)

    async def refuses_to_end(self, file: str) -> None:
        tell(file, os.getpid())
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                continue

    def blocks(self, file: str) -> None:
        tell(file, os.getpid())
        time.sleep(600)

    def fails(self, message: str) -> NoReturn:
        raise LookupError(message)

    async def tells_slowly(self, text: str) -> AsyncIterator[str]:
        for _ in range(5):
            await asyncio.sleep(0.005)
            yield text

    def dies(self, _text: str) -> NoReturn:
        os._exit(9)

    def breaks_down(self, why: str) -> NoReturn:
        raise Broken(why)

    def forks(self) -> int | None:
        """How the fork ended, which returned from here, too."""
        if (pid := os.fork()) == 0:
            return None
        return os.waitpid(pid, 0)[1]

    def closes_all(self, message: str) -> NoReturn:
        os.closerange(0, 256)
        raise LookupError(message)

    # once only: the file says that it has been done

    def crashes(self, file: str) -> str:
        if once(file):
            os.kill(os.getpid(), signal.SIGKILL)
        return "survived"

    def exits(self, file: str) -> str:
        if once(file):
            sys.exit("no more")
        return "survived"

    async def exits_in_a_task(self, file: str) -> str:
        async def leave() -> None:
            sys.exit(3)

        if once(file):
            self.task = asyncio.create_task(leave())
            await asyncio.sleep(600)
        return "survived"

    def breaks(self, file: str) -> str:
        if once(file):
            raise Broken("no more")
        return "survived"

    def runs_out(self, file: str) -> str:
        if once(file):
            raise MemoryError("no more")
        return "survived"


class Checked(Sharer):
    """Says how many jobs it has whenever it is asked for its health."""

    async def health(self) -> bool:
        self.asked = [*getattr(self, "asked", []), self.now]
        return True

    def when_asked(self) -> list[int]:
        return getattr(self, "asked", [])


class StickySharer(Sharer):
    """Fails every job once it was told to, in its first process."""

    is_broken = False

    def be_broken(self, file: str) -> None:
        self.is_broken = once(file)

    async def predict(self, input: Any) -> Any:  # noqa: A002
        if self.is_broken:
            raise RuntimeError("CUDA error")
        return await super().predict(input)


class SharerOfOne(Sharer):
    """Async, and says nothing of several jobs."""

    max_concurrency = 1


class Streaming:
    """An async generator."""

    max_concurrency = 2

    async def predict(self, input: str) -> AsyncIterator[str]:  # noqa: A002
        for number in range(3):
            await asyncio.sleep(0)
            yield f"{input}{number} "


class SyncSharer:
    max_concurrency = 20

    def __init__(self) -> None:
        raise AssertionError("it is refused before it is made")

    def predict(self, input: Any) -> Any:  # noqa: A002
        return input


class SharerTogether(Sharer):
    def predict_batch(self, inputs: list[Any]) -> list[Any]:
        return inputs


class WrongNumber(Sharer):
    max_concurrency = "many"


def once(file: str) -> bool:
    """Whether this is the first time."""
    if os.path.exists(file):
        return False
    tell(file, os.getpid())
    return True
