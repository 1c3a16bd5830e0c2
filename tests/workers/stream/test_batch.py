"""Group commit: who shares a round trip with whom, and who hears of an error."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from workers.stream.batch import Batcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class Sender:
    """Answers each batch with its items' doubles, once it is let; a negative item is an error."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.allowed = asyncio.Semaphore(0)
        self.called = asyncio.Semaphore(0)

    async def send(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        self.called.release()
        await self.allowed.acquire()
        if min(items) < 0:
            raise ValueError("negative")
        return [2 * item for item in items]

    def allow(self, batches: int = 100) -> None:
        for _ in range(batches):
            self.allowed.release()


async def test_what_comes_during_a_round_trip_goes_with_the_next_in_order() -> None:
    sender = Sender()
    batcher = Batcher(sender.send)
    first = batcher.submit(1)
    await sender.called.acquire()
    others = [batcher.submit(item) for item in (2, 3, 4)]
    sender.allow()
    assert await first == 2
    assert await asyncio.gather(*others) == [4, 6, 8]
    assert sender.batches == [[1], [2, 3, 4]]
    assert await batcher.submit(5) == 10


async def test_a_batch_has_at_most_so_many_items() -> None:
    sender = Sender()
    sender.allow()
    batcher = Batcher(sender.send, max_items=3)
    assert await asyncio.gather(*(batcher.submit(item) for item in range(1, 8))) == [2, 4, 6, 8, 10, 12, 14]
    assert sender.batches == [[1, 2, 3], [4, 5, 6], [7]]


async def test_a_batch_ends_with_the_item_that_fills_it() -> None:
    sender = Sender()
    sender.allow()
    batcher = Batcher(sender.send, size_of=lambda item: item, max_bytes=10)
    sizes = [4, 5, 3, 100, 1, 9, 1]
    assert await asyncio.gather(*(batcher.submit(item) for item in sizes)) == [2 * item for item in sizes]
    assert sender.batches == [[4, 5, 3], [100], [1, 9], [1]]


async def test_an_error_reaches_the_callers_of_its_batch_and_no_other() -> None:
    sender = Sender()
    sender.allow()
    batcher = Batcher(sender.send, max_items=2)
    results = await asyncio.gather(*(batcher.submit(item) for item in (1, 2, 3, -4, 5)), return_exceptions=True)
    assert results[:2] == [2, 4]
    assert [str(result) for result in results[2:4]] == ["negative", "negative"]
    assert results[4] == 10


async def test_an_error_that_means_the_server_is_unavailable_reaches_those_still_queued_too() -> None:
    batches: list[list[int]] = []
    called, over = asyncio.Event(), asyncio.Event()

    async def send(items: Sequence[int]) -> Sequence[int]:
        batches.append(list(items))
        called.set()
        await over.wait()
        if len(batches) == 1:
            raise ConnectionError("away")
        return items

    batcher = Batcher(send)
    sent = batcher.submit(1)
    await called.wait()
    waiting = batcher.submit(2)
    over.set()
    for future in (sent, waiting):
        with pytest.raises(ConnectionError):
            await future
    assert await batcher.submit(3) == 3
    assert batches == [[1], [3]]


async def test_a_caller_that_went_away_disturbs_nobody() -> None:
    sender = Sender()
    batcher = Batcher(sender.send)
    first = batcher.submit(1)
    await sender.called.acquire()
    gone, stays = batcher.submit(2), batcher.submit(3)
    gone.cancel()
    first.cancel()
    sender.allow()
    assert await stays == 6
    sender = Sender()
    failing = Batcher(sender.send)
    gone = failing.submit(-1)
    await sender.called.acquire()
    gone.cancel()
    sender.allow()
    assert await failing.submit(1) == 2


async def test_too_few_results_are_an_error_and_not_a_wait_for_ever() -> None:
    async def send(items: Sequence[int]) -> Sequence[int]:
        return items[1:]

    with pytest.raises(RuntimeError, match="1 results for 2 items"):
        async with asyncio.timeout(15):
            await asyncio.gather(*map(Batcher(send).submit, (1, 2)))


async def test_closing_sends_what_waits() -> None:
    sender = Sender()
    batcher = Batcher(sender.send, max_items=1)
    futures = [batcher.submit(item) for item in (1, 2, 3)]
    sender.allow()
    await batcher.close()
    assert [future.result() for future in futures] == [2, 4, 6]
    await batcher.close()


async def test_a_batch_that_is_cancelled_leaves_nobody_waiting() -> None:
    sender = Sender()
    batcher = Batcher(sender.send)
    sent = batcher.submit(1)
    await sender.called.acquire()
    waiting = batcher.submit(2)
    assert batcher._task is not None
    batcher._task.cancel()
    async with asyncio.timeout(15):
        await asyncio.wait([sent, waiting])
    assert sent.cancelled()
    assert waiting.cancelled()
    sender.allow()
    assert await batcher.submit(3) == 6


async def test_a_callback_gets_the_result_or_the_error() -> None:
    sender = Sender()
    sender.allow()
    batcher = Batcher(sender.send)
    answers: list[int | BaseException] = []

    batcher.put(1, answers.append)
    await batcher.close()
    batcher.put(-1, answers.append)
    await batcher.close()

    assert answers[0] == 2
    assert isinstance(answers[1], ValueError)


async def test_the_items_of_a_refused_batch_are_sent_again_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    sender = Sender()
    batcher = Batcher(sender.send, resends_singly=True)
    answers: list[int | BaseException] = []

    batcher.put(1, answers.append)
    await sender.called.acquire()
    for item in (2, -3, 4):
        batcher.put(item, answers.append)
    sender.allow(2)
    for _ in range(2):
        await sender.called.acquire()
    batcher.put(5, answers.append)
    batcher.put(6, answers.append)
    sender.allow()
    await batcher.close()

    assert sender.batches == [[1], [2, -3, 4], [2], [-3], [4], [5, 6]]
    assert [answer for answer in answers if isinstance(answer, int)] == [2, 4, 8, 10, 12]
    assert str(answers[2]) == "negative"
    assert "3 items were refused (negative), sending them one by one" in caplog.text


async def test_a_single_item_that_fails_takes_no_queued_one_with_it() -> None:
    async def send(items: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(0)
        if items[0] == 1:
            raise ConnectionError("away")
        return items

    batcher = Batcher(send, max_items=1, resends_singly=True)
    results = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
    assert isinstance(results[0], ConnectionError)
    assert results[1] == 2


@pytest.mark.parametrize("has_started", [False, True])
async def test_what_is_abandoned_is_answered_with_a_cancel(has_started: bool) -> None:
    sender = Sender()
    batcher = Batcher(sender.send, max_items=1)
    answers: list[int | BaseException] = []

    batcher.put(1, answers.append)
    if has_started:
        await sender.called.acquire()
    future = batcher.submit(2)
    await batcher.abandon()

    assert [type(answer) for answer in answers] == [asyncio.CancelledError]
    assert future.cancelled()
    sender.allow()
    assert await batcher.submit(3) == 6
    await batcher.abandon()


async def after_slow_ones(sender: Sender, gather: Callable[[], Awaitable[None]] | None = None) -> Batcher[int, int]:
    """One whose last two round trips took more than `beside_s`."""
    batcher = Batcher(sender.send, beside_s=0.001, gather=gather)
    for _ in range(2):
        future = batcher.submit(0)
        await sender.called.acquire()
        await asyncio.sleep(0.002)
        sender.allow(1)
        await future
    sender.batches.clear()
    return batcher


async def test_what_comes_during_a_slow_round_trip_leaves_beside_it() -> None:
    sender = Sender()
    batcher = await after_slow_ones(sender)
    first = batcher.submit(1)
    await sender.called.acquire()

    others = [batcher.submit(item) for item in (2, 3)]
    await sender.called.acquire()
    last = batcher.submit(4)
    await sender.called.acquire()

    assert sender.batches == [[1], [2, 3], [4]]
    assert not first.done()
    sender.allow()
    assert await asyncio.gather(first, *others, last) == [2, 4, 6, 8]
    assert await batcher.submit(5) == 10


async def test_what_comes_during_a_round_trip_waits_for_its_end_if_round_trips_were_quick() -> None:
    sender = Sender()
    batcher = await after_slow_ones(sender)
    sender.allow(1)
    await batcher.submit(0)
    await sender.called.acquire()

    first = batcher.submit(1)
    await sender.called.acquire()
    others = [batcher.submit(item) for item in (2, 3)]
    await asyncio.sleep(0.005)
    sender.allow()

    assert await asyncio.gather(first, *others) == [2, 4, 6]
    assert sender.batches == [[0], [1], [2, 3]]


async def test_an_error_of_a_batch_that_left_beside_another_reaches_its_own_callers_alone() -> None:
    sender = Sender()
    batcher = await after_slow_ones(sender)
    first = batcher.submit(1)
    await sender.called.acquire()
    wrong = batcher.submit(-1)
    await sender.called.acquire()

    sender.allow()

    assert await first == 2
    with pytest.raises(ValueError, match="negative"):
        await wrong


async def test_closing_waits_for_what_left_beside_another_and_abandoning_does_not() -> None:
    for gives_up in (False, True):
        sender = Sender()
        batcher = await after_slow_ones(sender)
        futures = [batcher.submit(1)]
        await sender.called.acquire()
        futures.append(batcher.submit(2))
        await sender.called.acquire()

        if gives_up:
            await batcher.abandon()
            assert all(future.cancelled() for future in futures)
        else:
            asyncio.get_running_loop().call_later(0.01, sender.allow)
            await batcher.close()
            assert [future.result() for future in futures] == [2, 4]


async def test_a_batch_leaves_with_what_comes_while_it_is_gathered() -> None:
    sender = Sender()
    sender.allow()
    enough = asyncio.Event()

    async def gather() -> None:
        await enough.wait()

    batcher = Batcher(sender.send, gather=gather)
    first = batcher.submit(1)
    await asyncio.sleep(0)
    second = batcher.submit(2)
    enough.set()

    assert [await first, await second] == [2, 4]
    assert sender.batches == [[1, 2]]


async def test_what_is_gathered_does_not_leave_beside_a_slow_round_trip() -> None:
    sender = Sender()
    enough = asyncio.Event()
    enough.set()

    async def gather() -> None:
        await enough.wait()

    batcher = await after_slow_ones(sender, gather)
    enough.clear()
    first = batcher.submit(1)
    await asyncio.sleep(0)
    second = batcher.submit(2)
    await asyncio.sleep(0.005)
    assert (len(batcher), sender.batches) == (2, [])
    enough.set()
    sender.allow()

    assert [await first, await second] == [2, 4]
    assert sender.batches == [[1, 2]]
