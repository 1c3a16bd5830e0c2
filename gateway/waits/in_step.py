"""Waiting pushes on a slow disk: those of the requests that were answered together leave together again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Protocol

from workers.stream import SLOW_S

if TYPE_CHECKING:
    from collections.abc import Iterator

# A push waits for others up to two calls: the one that tells how their jobs ended, and the one under way before it.
# Example: on a disk that takes 4 ms some 9 ms.
_MOST_CALLS = 2
# Jobs that take longer than so many calls, from push to answer, are not waited for: their clients push at any time.
_MOST_CALLS_OF_JOBS = 8
# The mean time to an answer moves by this share of the way to each new one: some 10 answers are remembered.
_SHARE = 0.1
# After a wait in vain so many calls leave without one.
_CALLS_WITHOUT = 8


class PushesToCome(Protocol):
    """Collects pushes for a call (`workers.stream.batch.Batcher`)."""

    @property
    def takes_s(self) -> float:
        """How long a call takes."""

    def __len__(self) -> int:
        """How many are collected."""


class InStep:
    """Has a call of pushes wait for as many as waited at the same time lately, if the disk is slow and jobs are quick.

    Clients that push again when they are answered then share both waits for the disk, those for the pushes and for the
    ends. (16 of them on a disk that takes 4 ms wait for it twice, instead of some four times in two groups that take
    turns.) A push that waits alone waits for nobody. No call waits longer than `most_s` seconds.
    """

    def __init__(self, pushes: PushesToCome, most_s: float = 0.02) -> None:
        self._pushes = pushes
        self._most_s = most_s
        self._waiting = 0
        self._most = 0  # that waited at the same time since the last call
        self._mean_s: float | None = None
        self._calls_without = 0
        self._enough: asyncio.Event | None = None

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """A push that is about to be collected, up to its answer."""
        began_s = time.monotonic()
        self._waiting += 1
        self._most = max(self._most, self._waiting)
        if self._enough is not None and len(self._pushes) + 1 >= self._most:
            self._enough.set()
        try:
            yield
        finally:
            self._waiting -= 1
            took_s = min(time.monotonic() - began_s, 1.0)
            self._mean_s = took_s if self._mean_s is None else self._mean_s + _SHARE * (took_s - self._mean_s)

    async def gather(self) -> None:
        """Before a call of pushes: returns when all are there, or after a while."""
        if self._calls_without:
            self._calls_without -= 1
        elif self._is_worth_it:
            await self._wait(min(_MOST_CALLS * self._pushes.takes_s, self._most_s))
        self._most = self._waiting

    @property
    def _is_worth_it(self) -> bool:
        call_s, mean_s = self._pushes.takes_s, self._mean_s
        is_slow = call_s >= SLOW_S and mean_s is not None and mean_s <= _MOST_CALLS_OF_JOBS * call_s
        return is_slow and len(self._pushes) < self._most

    async def _wait(self, most_s: float) -> None:
        self._enough = asyncio.Event()
        try:
            async with asyncio.timeout(most_s):
                await self._enough.wait()
        except TimeoutError:
            self._calls_without = _CALLS_WITHOUT
        finally:
            self._enough = None
