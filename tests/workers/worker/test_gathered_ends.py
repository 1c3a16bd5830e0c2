"""Ends of short jobs share a call where calls are quick: some do, and none waits for what is not about to end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from workers.stream import AheadStart, Finish
from workers.worker.finishes import Finishes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from workers.worker.session import Session


class Held:
    """So many jobs are held ahead, and nothing is claimed."""

    def __init__(self, count: int, left_s: float) -> None:
        self._count = count
        self._left_s = left_s

    def __len__(self) -> int:
        return self._count

    def left_s(self) -> float:
        """How long they take."""
        return self._left_s

    def is_registered(self, _job_id: str, _attempt: int) -> bool:
        """As all are."""
        return True

    def take_starts(self) -> list[AheadStart]:
        """None."""
        return []

    def started(self, _starts: Sequence[AheadStart], _are_ours: Sequence[bool]) -> None:
        """Never called."""

    def untold(self, _starts: Sequence[AheadStart]) -> None:
        """Never called."""

    def beside(self) -> None:
        """No claim."""

    async def until_told(self) -> None:
        """At once."""


class Ends:
    """The ends that are told, and how many of them a call told."""

    def __init__(self, held: Held) -> None:
        self.calls: list[int] = []

        async def call(send: Callable[[], Awaitable[Any]], _what: str) -> Any:
            return await send()

        async def finish(_worker: str, finishes: Sequence[Finish]) -> list[bool]:
            self.calls.append(len(finishes))
            return [True] * len(finishes)

        session = SimpleNamespace(id="w", stream=SimpleNamespace(finish=finish), outage=SimpleNamespace(call=call))
        self._finishes = Finishes(cast("Session", session), lambda: (held, held))
        self._done = asyncio.Queue[bool | BaseException]()

    def claim_waits_s(self) -> float:
        """How long a claim waits for them."""
        return self._finishes.claim_waits_s()

    async def tell(self, count: int) -> None:
        """So many jobs end at once. What follows without a timer has happened then."""
        for number in range(count):
            self._finishes.put(Finish(f"job-{number}", 1, "finished", b"1", 1000), self._done.put_nowait)
        for _ in range(10):
            await asyncio.sleep(0)

    async def are_done(self, count: int) -> None:
        """Returns when so many have been told."""
        for _ in range(count):
            assert await self._done.get() is True


async def test_ends_of_short_jobs_share_a_call() -> None:
    for _ in range(20):  # on a busy machine 2 ms may pass in between
        ends = Ends(Held(6, left_s=0.003))
        await ends.tell(1)
        await ends.tell(5)
        await ends.are_done(6)
        if ends.calls == [6]:
            return
    raise AssertionError("the first end has never waited for the others")


async def test_an_end_waits_for_a_while_at_most() -> None:
    ends = Ends(Held(6, left_s=0.003))

    await ends.tell(1)

    await ends.are_done(1)
    assert ends.calls == [1]


@pytest.mark.parametrize(("count", "left_s"), [(5, 0.003), (6, 0.03), (0, 0.0)])
async def test_an_end_waits_neither_for_few_jobs_nor_for_long_ones(count: int, left_s: float) -> None:
    ends = Ends(Held(count, left_s))

    await ends.tell(1)

    assert ends.calls == [1]


@pytest.mark.parametrize(("left_s", "waits_s"), [(0.0005, 0.002), (0.003, 0.0), (0.0, 0.0)])
async def test_a_claim_waits_for_the_end_of_a_short_job_and_of_no_other(left_s: float, waits_s: float) -> None:
    assert Ends(Held(0, left_s)).claim_waits_s() == waits_s
