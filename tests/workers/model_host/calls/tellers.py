"""Models that use their jobs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.workers.models import Scripted, tell
from workers.job import Job, current

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Teller(Scripted):
    """Does what the input says, with its job."""

    before: Job | None = None

    def predict(self, input: Any, job: Job) -> Any:  # type: ignore[override]  # noqa: A002
        assert current() is job
        return super().predict(input)

    def who(self) -> list[Any]:
        job = current()
        return [job.id, job.attempt, job.deadline and job.deadline > time.time()]

    def report(self, *fractions: Any) -> None:
        for fraction in fractions:
            current().progress(fraction, f"at {fraction}")
            current().log(f"line {fraction}")

    def not_a_number(self) -> None:
        current().progress(float("nan"))

    def items(self, count: int, size: int = 0) -> Iterator[Any]:
        for number in range(count):
            current().log(number)
            yield "x" * size or number

    async def items_async(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            await asyncio.sleep(0)
            current().log(number)
            yield number

    def fails_after(self, count: int) -> Iterator[int]:
        yield from range(count)
        raise LookupError("no more")

    async def awaits(self) -> str:
        await asyncio.sleep(0)
        return current().id

    def endless(self, file: str) -> Iterator[int]:
        tell(file, os.getpid())
        while True:
            yield 1
            time.sleep(0.01)

    def from_threads(self, count: int) -> list[str]:
        """Several threads tell at once; they have no current job."""
        job, problems = current(), []

        def talk(name: str) -> None:
            try:
                current()
            except RuntimeError as error:
                problems.append(str(error))
            for number in range(count):
                job.log(f"{name} {number}")

        threads = [threading.Thread(target=talk, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return problems

    def from_a_fork(self) -> bool:
        if (pid := os.fork()) == 0:
            current().log("of the fork")
            os._exit(int(current().cancelled))
        return os.waitpid(pid, 0)[1] == 0

    def keep(self) -> None:
        self.before = current()

    def with_the_job_before(self) -> bool:
        assert self.before is not None
        self.before.log("too late")
        current().log("in time")
        return self.before.cancelled

    # cancels

    def polls(self, file: str) -> str:
        tell(file, os.getpid())
        while not current().cancelled:
            time.sleep(0.002)
        return "stopped"

    def looks_and_tells(self) -> bool:
        looked = current().cancelled
        current().log("at the end")
        return looked

    def raises(self, file: str) -> None:
        tell(file, os.getpid())
        while True:
            current().raise_if_cancelled()
            time.sleep(0.002)

    def looks_once(self, file: str) -> None:
        assert not current().cancelled
        tell(file, os.getpid())
        time.sleep(600)

    def leaves(self, file: str) -> None:
        self.polls(file)
        sys.exit(3)

    def ignores_sigterm(self, file: str) -> str:
        """It has a second to end by itself, and no signal comes before that."""
        signal.signal(signal.SIGTERM, lambda *_: os._exit(9))
        return self.polls(file)

    async def polls_async(self, file: str) -> str:
        tell(file, os.getpid())
        while not current().cancelled:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        return "stopped"


class TellerTogether(Teller):
    """Runs several jobs in one call, which have no job of their own; one alone has."""

    max_batch_size = 2

    def predict_batch(self, inputs: list[Any]) -> list[Any]:
        try:
            current()
        except RuntimeError as error:
            return [str(error)] * len(inputs)
        return ["a job"] * len(inputs)


class Unsteady(Teller):
    """Yields, and crashes in its first attempt."""

    def crashes_first(self, count: int) -> Iterator[int]:
        job = current()
        for number in range(count):
            job.progress(number / count)
            yield number
        if job.attempt == 1:
            os._exit(7)

    def waits_for(self, file: str) -> Iterator[str]:
        current().progress(0.5, "half")
        yield "first"
        while not Path(file).exists():
            time.sleep(0.005)
        yield "second"
