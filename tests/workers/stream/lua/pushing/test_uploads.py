"""What an owner may upload within an hour: how it is used up, given back and saved up again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.workers.stream.actions import command, key
from workers.stream import UploadRefusal

if TYPE_CHECKING:
    from workers.stream import Stream

HOUR_MS = 3_600_000
MOST = (4, 1000)


async def refused(stream: Stream, uploads: int, size_bytes: int, owner: str = "me") -> str:
    """Which limit these are beyond."""
    refusal = await stream.uploads.count(owner, uploads, size_bytes, *MOST)
    return refusal.limit if refusal else ""


async def earlier(stream: Stream, ms: int) -> None:
    """Makes what was counted as old as if it had happened so long before."""
    limit = key(stream, "limit:me")
    at_ms = int(await command(stream, "HGET", limit, "upload_at"))
    await command(stream, "HSET", limit, "upload_at", at_ms - ms)


async def test_an_hours_uploads_may_come_at_once_and_are_saved_up_again(stream: Stream) -> None:
    assert [await refused(stream, 1, 400) for _ in range(3)] == ["", "", "upload_bytes_per_hour"]
    assert await refused(stream, 1, 400, "another") == ""
    assert [await refused(stream, 1, 50) for _ in range(3)] == ["", "", "uploads_per_hour"]
    await earlier(stream, HOUR_MS // 2)
    assert [await refused(stream, 1, 300) for _ in range(3)] == ["", "", "uploads_per_hour"]
    await earlier(stream, 100 * HOUR_MS)
    assert [await refused(stream, 1, 500) for _ in range(3)] == ["", "", "upload_bytes_per_hour"]


async def test_a_refusal_says_when_there_is_room_and_counts_nothing(stream: Stream) -> None:
    assert await refused(stream, 1, 1000) == ""
    refusal = await stream.uploads.count("me", 1, 500, *MOST)
    assert isinstance(refusal, UploadRefusal)
    assert HOUR_MS // 2 - 60_000 < refusal.retry_ms <= HOUR_MS // 2
    await earlier(stream, HOUR_MS // 2)
    assert await refused(stream, 1, 500) == ""


async def test_what_did_not_come_is_given_back_and_no_more_than_that(stream: Stream) -> None:
    assert await refused(stream, 1, 1000) == ""
    assert await refused(stream, 0, -900) == ""
    assert await refused(stream, 1, 900) == ""
    await earlier(stream, -HOUR_MS)  # a clock that was set back
    assert await refused(stream, 0, -5000) == ""
    assert [await refused(stream, 1, 1000) for _ in range(2)] == ["", "upload_bytes_per_hour"]
