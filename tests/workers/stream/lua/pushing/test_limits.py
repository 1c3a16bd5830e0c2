"""Limits of an owner: how they fill and empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.workers.stream.actions import command, fail_one, finish, key, new
from workers.stream import PushLimits

if TYPE_CHECKING:
    from workers.stream import Pushed, Stream

HOUR_MS = 3_600_000


async def push(
    stream: Stream, limits: PushLimits, owner: str = "me", args: bytes = b"[1]", defer_ms: int = 0
) -> Pushed:
    return await stream.push(new(owner=owner, args=args, limits=limits, defer_ms=defer_ms))


async def earlier(stream: Stream, ms: int) -> None:
    """Makes what was counted as old as if it had happened so long before."""
    limit = key(stream, "limit:me")
    at_ms = int(await command(stream, "HGET", limit, "at"))
    await command(stream, "HSET", limit, "at", at_ms - ms, "scanned", 0, "day", at_ms // 86_400_000 - ms // 86_400_000)


async def test_a_burst_is_refilled_at_the_rate_and_not_beyond(stream: Stream) -> None:
    limits = PushLimits(pushes_per_s=1 / 3600, burst=2)
    assert [(await push(stream, limits)).outcome for _ in range(3)] == ["accepted", "accepted", "limited"]
    await earlier(stream, HOUR_MS)
    assert [(await push(stream, limits)).outcome for _ in range(2)] == ["accepted", "limited"]
    await earlier(stream, 100 * HOUR_MS)
    assert [(await push(stream, limits)).outcome for _ in range(3)] == ["accepted", "accepted", "limited"]


@pytest.mark.parametrize("ms", [-HOUR_MS])
async def test_a_clock_that_was_set_back_takes_nothing(stream: Stream, ms: int) -> None:
    limits = PushLimits(pushes_per_s=1 / 3600, burst=3)
    assert (await push(stream, limits)).outcome == "accepted"
    await earlier(stream, ms)
    assert [(await push(stream, limits)).outcome for _ in range(3)] == ["accepted", "accepted", "limited"]


async def test_bytes_count_anew_each_day(stream: Stream) -> None:
    limits = PushLimits(bytes_per_day=10)
    assert (await push(stream, limits, args=b"[12345678]")).outcome == "accepted"
    refused = await push(stream, limits)
    assert (refused.outcome, refused.limit, 0 < refused.retry_ms <= 24 * HOUR_MS) == ("limited", "bytes_per_day", True)
    await earlier(stream, 24 * HOUR_MS)
    assert (await push(stream, limits)).outcome == "accepted"


async def test_bytes_in_the_object_store_count(stream: Stream) -> None:
    limits = PushLimits(bytes_per_day=1000)
    pushed = [await stream.push(new(owner="me", args=b"[1]", limits=limits, stored_bytes=600)) for _ in range(2)]
    assert [(one.outcome, one.limit) for one in pushed] == [("accepted", ""), ("limited", "bytes_per_day")]


async def test_every_end_makes_room(stream: Stream) -> None:
    limits = PushLimits(outstanding=3)
    assert (await push(stream, limits)).outcome == "accepted"
    await finish(stream, "w", await stream.claim("w", 1))
    await fail_one(stream, owner="me", limits=limits)
    cancelled = await push(stream, limits, defer_ms=HOUR_MS)
    assert await stream.cancel(cancelled.id) == "cancelled"
    kept = [await push(stream, limits, defer_ms=HOUR_MS if n == 0 else 0) for n in range(4)]
    assert [one.outcome for one in kept] == ["accepted"] * 3 + ["limited"]
    await stream.redis.delete(key(stream, f"job:{kept[1].id}"))
    await earlier(stream, 0)
    assert [(await push(stream, limits)).outcome for _ in range(2)] == ["accepted", "limited"]


async def test_owners_do_not_share_a_limit(stream: Stream) -> None:
    limits = PushLimits(pushes_per_s=0.001, burst=1, outstanding=1)
    assert [(await push(stream, limits, owner)).outcome for owner in ("me", "you", "me")] == [
        "accepted", "accepted", "limited",
    ]  # fmt: skip
