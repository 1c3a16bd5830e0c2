"""What tests of looking ahead share: a short job, a worker that knows that it is, and calls that are slow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from arq.worker import Retry, func

from tests.workers.service import ended, push
from workers.stream import ClaimCall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.stream import AheadStart, Finish, Stream, Turn
    from workers.worker import Worker

_NO_CLAIM = ClaimCall(-1)


class Shorts:
    """A job's function that is short; which jobs began, with their attempts.

    Jobs in `waits` wait for `go_on`, those in `retries` ask for a second attempt, and those in `results` return these.
    """

    def __init__(self) -> None:
        self.began: list[tuple[str, int]] = []
        self.traces: list[str] = []
        self.waits: set[str] = set()
        self.go_on = asyncio.Event()
        self.retries: set[str] = set()
        self.results: dict[str, str] = {}
        self.tells = False
        self.functions = [func(self._run, name="job")]

    async def _run(self, ctx: dict[str, Any]) -> str | None:
        self.began.append((ctx["job_id"], ctx["job_try"]))
        self.traces.append(ctx["traceparent"])
        if self.tells:
            ctx["worker"].events.tell(ctx["job_id"], ctx["job_try"], "log", b'"here"')
        await asyncio.sleep(0)
        if ctx["job_id"] in self.waits:
            await self.go_on.wait()
        if ctx["job_id"] in self.retries and ctx["job_try"] == 1:
            raise Retry(defer=0)
        return self.results.get(ctx["job_id"])


class SlowCalls:
    """Stands in for the combined call of a worker's stream: each is late, as with a slow disk."""

    def __init__(self, stream: Stream) -> None:
        self.calls: list[ClaimCall] = []
        self.ends: list[int] = []
        self._both = stream.finish_and_claim
        stream.finish_and_claim = self.finish_and_claim  # type: ignore[method-assign]

    async def finish_and_claim(
        self, worker: str, finishes: Sequence[Finish], claim: ClaimCall = _NO_CLAIM, starts: Sequence[AheadStart] = ()
    ) -> Turn:
        """Calls later, and answers later."""
        self.calls.append(claim)
        self.ends.append(len(finishes))
        await asyncio.sleep(0.03)
        turn = await self._both(worker, finishes, claim, starts)
        await asyncio.sleep(0.03)
        return turn


async def warm(stream: Stream, worker: Worker) -> None:
    """Lets the worker learn that its jobs are short."""
    await asyncio.wait_for(worker.ready.wait(), 20)
    await ended(stream, [await push(stream, "job") for _ in range(2)])
    await worker.runner.until_empty()
