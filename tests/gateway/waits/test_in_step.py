"""Waiting pushes that leave together again when they were answered together."""

from __future__ import annotations

import asyncio
import contextlib
import time

from gateway.waits.in_step import InStep

NEVER_S = 600.0


class Collected:
    """Pushes that are collected for a call, which takes `takes_s`."""

    def __init__(self, takes_s: float = NEVER_S) -> None:
        self.takes_s = takes_s
        self.count = 0

    def __len__(self) -> int:
        return self.count


class Clients:
    """Clients that push and wait."""

    def __init__(self, pushes: Collected, in_step: InStep) -> None:
        self._pushes = pushes
        self._in_step = in_step
        self._waits = contextlib.ExitStack()

    def push(self, count: int) -> None:
        """So many do."""
        for _ in range(count):
            self._waits.enter_context(self._in_step.waiting())
            self._pushes.count += 1

    def get_answers(self) -> None:
        """All do."""
        self._waits.close()


async def calling(in_step: InStep) -> asyncio.Task[None]:
    """A call that is about to be sent, and has had the time to begin its wait."""
    task = asyncio.create_task(in_step.gather())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def does_wait(in_step: InStep) -> bool:
    """Whether a call waits; it is given up."""
    task = await calling(in_step)
    return not task.done() and task.cancel()


async def answered_together(pushes: Collected, in_step: InStep, count: int) -> Clients:
    """So many clients that have had answers of one call."""
    clients = Clients(pushes, in_step)
    clients.push(count)
    await in_step.gather()
    pushes.count = 0
    clients.get_answers()
    return clients


async def test_a_call_waits_for_those_that_were_answered_together() -> None:
    in_step = InStep(pushes := Collected(), NEVER_S)
    clients = await answered_together(pushes, in_step, 3)

    clients.push(1)
    call = await calling(in_step)
    clients.push(1)
    await asyncio.sleep(0)
    assert not call.done()
    clients.push(1)

    await call
    assert len(pushes) == 3


async def test_a_call_waits_for_those_whose_answers_are_due() -> None:
    in_step = InStep(pushes := Collected(), NEVER_S)
    clients = await answered_together(pushes, in_step, 1)
    others = Clients(pushes, in_step)
    others.push(2)
    await in_step.gather()
    pushes.count = 0

    clients.push(1)
    call = await calling(in_step)
    others.get_answers()
    others.push(2)

    await call


async def test_a_push_that_waits_alone_waits_for_nobody() -> None:
    in_step = InStep(pushes := Collected(), NEVER_S)
    clients = await answered_together(pushes, in_step, 1)

    clients.push(1)

    assert not await does_wait(in_step)


async def test_nothing_waits_where_calls_are_quick() -> None:
    in_step = InStep(pushes := Collected(0.001), NEVER_S)
    clients = await answered_together(pushes, in_step, 3)

    clients.push(1)

    assert not await does_wait(in_step)


async def test_nothing_waits_for_long_jobs() -> None:
    in_step = InStep(pushes := Collected(0.002), NEVER_S)
    clients = Clients(pushes, in_step)
    clients.push(3)
    await in_step.gather()
    pushes.count = 0
    time.sleep(0.02)
    clients.get_answers()

    clients.push(1)

    assert not await does_wait(in_step)


async def test_after_a_wait_in_vain_some_calls_leave_at_once() -> None:
    in_step = InStep(pushes := Collected(), 0.001)
    clients = await answered_together(pushes, in_step, 3)

    clients.push(2)
    await in_step.gather()  # the third does not come

    for _ in range(8):
        clients.get_answers()
        clients.push(3)
        clients.get_answers()
        pushes.count = 0
        clients.push(1)
        assert not await does_wait(in_step)
