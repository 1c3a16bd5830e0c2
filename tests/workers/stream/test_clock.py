"""The server's clock is set back."""

from __future__ import annotations

import asyncio
import struct
import time
from typing import TYPE_CHECKING

import pytest

from tests.workers.stream.actions import accept, command, finish, key

if TYPE_CHECKING:
    from workers.stream import Claimed, Stream

HOUR_MS = 3_600_000


def crc64(data: bytes) -> int:
    """Redis' checksum of a DUMP (Jones' polynomial, reflected)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)
    return crc


async def set_clock_back(stream: Stream) -> None:
    """Leaves the queue as it is once the clock is an hour back: all its times are an hour ahead."""
    full = await command(stream, "XINFO", "STREAM", key(stream, "stream"), "FULL", "COUNT", 100)
    [group] = dict(zip(full[::2], full[1::2], strict=True))[b"groups"]
    pending = dict(zip(group[::2], group[1::2], strict=True))[b"pending"]
    dump = await command(stream, "DUMP", key(stream, "stream"))
    for delivered_ms in {row[2] for row in pending}:
        before, after = (struct.pack("<Q", ms) for ms in (delivered_ms, delivered_ms + HOUR_MS))
        assert before in dump
        dump = dump.replace(before, after)
    dump = dump[:-8] + struct.pack("<Q", crc64(dump[:-8]))
    await command(stream, "RESTORE", key(stream, "stream"), 0, dump, "REPLACE")
    for zset in ("workers", "deferred", "expiring"):
        members = await command(stream, "ZRANGE", key(stream, zset), 0, -1, "WITHSCORES")
        for member, score in zip(members[::2], members[1::2], strict=True):
            await command(stream, "ZADD", key(stream, zset), int(score) + HOUR_MS, member)
            if zset == "workers":
                left_ms = await command(stream, "PTTL", key(stream, f"worker:{member.decode()}"))
                await command(stream, "PEXPIRE", key(stream, f"worker:{member.decode()}"), left_ms + HOUR_MS)
    swept = await command(stream, "GET", key(stream, "swept"))
    await command(stream, "SET", key(stream, "swept"), int(swept or time.time() * 1000) + HOUR_MS)


@pytest.mark.lease_s(1.5)
async def test_a_dead_workers_lease_ends_within_a_lease_after_the_clock_was_set_back(stream: Stream) -> None:
    held, lost = await accept(stream, 2)
    await stream.register("dead", 1, {"state": "busy"})
    await stream.register("live", 60, {"state": "busy"})
    [kept] = await stream.claim("live", 1)
    [job] = await stream.claim("dead", 1)
    assert (kept.id, job.id) == (held, lost)
    [later] = await accept(stream, defer_ms=700)
    await stream.sweep()
    await set_clock_back(stream)

    again: list[Claimed] = []
    async with asyncio.timeout(20):  # a lease is 1.5 s, and the clock an hour back
        while {one.id for one in again} != {lost, later}:
            assert await stream.renew("live", [(held, 1)]) == []
            await stream.sweep()
            again += await stream.claim("live", 5)
            await asyncio.sleep(0.05)
    assert {one.id: one.attempt for one in again} == {lost: 2, later: 1}
    # Nobody was disturbed who lives, and nothing else waits for the hour to pass.
    assert await stream.renew("live", [(held, 1)]) == []
    await finish(stream, "live", [kept, *again])
    assert {view.id for view in await stream.workers()} == {"live"}


@pytest.mark.lease_s(1.5)
async def test_a_clock_that_goes_on_disturbs_nothing(stream: Stream) -> None:
    await accept(stream, 1)
    [job] = await stream.claim("w", 1)
    ended = asyncio.Event()
    asyncio.get_running_loop().call_later(2.5, ended.set)
    while not ended.is_set():
        await stream.sweep()
        assert await stream.renew("w", [(job.id, 1)]) == []
        await asyncio.sleep(0.1)
