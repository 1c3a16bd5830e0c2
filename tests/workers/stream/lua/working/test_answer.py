"""The end of a job is sent to the gateway at which its push waits, if it is small."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.workers.stream.actions import listening, new, until
from workers.stream import LIBRARY, Finish, JobView

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workers.stream import Stream

GATEWAY = f"{LIBRARY}:gate"
ERROR = b'{"type":"ValueError","message":"no"}'


class GatewayEar:
    """What a gateway hears, in its order: ids of jobs that ended, and the jobs themselves."""

    def __init__(self) -> None:
        self.heard: list[str | JobView] = []
        self.views: list[JobView] = []

    def answer(self, view: JobView) -> None:
        """A job, from the message of its end."""
        self.heard.append(view)
        self.views.append(view)


@contextlib.asynccontextmanager
async def gateway(stream: Stream, name: str = GATEWAY) -> AsyncIterator[GatewayEar]:
    """A gateway that listens under this name."""
    ear = GatewayEar()
    async with listening(stream.ended(ear.heard.append, lambda: None, name, ear.answer)):
        yield ear


async def end(stream: Stream, status: str = "finished", body: bytes = b'"done"', **finish: object) -> str:
    """Claims and ends a job; its id."""
    [job] = await stream.claim("w", 1)
    assert await stream.finish("w", [Finish(job.id, job.attempt, status, body, **{"keep_ms": 60_000, **finish})]) == [  # type: ignore[arg-type]
        True
    ]
    return job.id


@pytest.mark.parametrize(
    ("status", "body", "notes"),
    [
        ("finished", b'{"a":"\xc3\xbc \\n"}', b'{"input":[1]}'),
        ("finished", b'"%b"' % (b"x" * 15_000), b""),
        ("failed", ERROR, b""),
    ],
)
async def test_a_push_that_waits_is_answered_with_what_there_is_to_see(
    stream: Stream, status: str, body: bytes, notes: bytes
) -> None:
    async with gateway(stream) as ear:
        await stream.push(new("job-7", owner="own er", waits_at=GATEWAY))
        await end(stream, status, body, notes=notes)
        await until(lambda: len(ear.heard) > 1)
        view = await stream.view_small("job-7")
    assert view is not None
    assert (view.status, view.owner, view.result) == (status, "own er", body if status == "finished" else None)
    assert ear.heard == [view, "job-7"]


async def test_what_is_large_or_not_kept_and_what_another_release_waits_for_is_not_sent(stream: Stream) -> None:
    async with gateway(stream) as ear, gateway(stream, "leadtime_other:gate") as other:
        for job in (
            new("large", waits_at=GATEWAY),
            new("not-kept", waits_at=GATEWAY),
            new("not-waited-for"),
            new("of-another-release", waits_at="leadtime_other:gate"),
        ):
            await stream.push(job)
        await end(stream, body=b'"%b"' % (b"x" * 17_000))
        await end(stream, keep_ms=0)
        await end(stream)
        last = await end(stream)
        await until(lambda: last in ear.heard and last in other.heard)
    assert ear.views == other.views == []


async def test_nobody_waits_for_the_next_life_of_a_failed_job(stream: Stream) -> None:
    async with gateway(stream) as ear:
        await stream.push(new("job", waits_at=GATEWAY))
        await end(stream, "failed", ERROR)
        assert await stream.retry("job") == "retried"
        await end(stream)
        await until(lambda: ear.heard.count("job") == 2)
    assert [view.status for view in ear.views] == ["failed"]


async def test_nothing_of_the_wait_is_kept_beside_a_result(stream: Stream) -> None:
    await stream.push(new("job", waits_at=GATEWAY))
    assert await stream.redis.hget(f"{stream.prefix}:job:job", "waits") == GATEWAY.encode()  # type: ignore[misc]
    await end(stream)
    assert not await stream.redis.hexists(f"{stream.prefix}:job:job", "waits")  # type: ignore[misc]
