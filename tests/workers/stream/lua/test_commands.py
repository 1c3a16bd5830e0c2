"""How many commands a job costs the server on its way. push.lua, claim.lua and finish.lua say the same numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.workers.stream.actions import accept, finish
from workers.stream import ClaimCall, Finish

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from workers.stream import Stream

# What measures, and what a new connection sends.
_BESIDE = ("info", "fcall", "client|setinfo")
MANY = 90  # fewer than a claim reads at once


async def calls(stream: Stream) -> dict[str, int]:
    """How often each command was called since the server started."""
    stats: dict[str, Any] = await stream.redis.info("commandstats")
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}


async def commands_of(stream: Stream, act: Callable[[], Awaitable[Any]]) -> dict[str, int]:
    """The commands that an act's function calls."""
    before = await calls(stream)
    await act()
    grown = {name: count - before.get(name, 0) for name, count in (await calls(stream)).items()}
    return {name: count for name, count in grown.items() if count and name not in _BESIDE}


async def commands_of_a_life(stream: Stream, count: int) -> list[dict[str, int]]:
    """The commands of a push, a claim and a finish of so many jobs, each in one call."""
    jobs = []

    async def claim() -> None:
        jobs.extend(await stream.claim("w", count))

    await stream.register("w", 60, {"state": "idle"})
    # The first call of a connection may be another that loads the library.
    await stream.open()
    return [
        await commands_of(stream, lambda: accept(stream, count)),
        await commands_of(stream, claim),
        await commands_of(stream, lambda: finish(stream, "w", jobs)),
    ]


async def test_commands_of_a_finish_with_the_next_claim(stream: Stream) -> None:
    """Less than both alone: the group's counters are right after the finish."""
    await stream.register("w", 60, {"state": "idle"})
    await accept(stream, 2)
    [job] = await stream.claim("w", 1)
    end = Finish(job.id, job.attempt, "finished", b"1", 60_000)

    costs = await commands_of(stream, lambda: stream.finish_and_claim("w", [end], ClaimCall(1)))

    if costs.pop("xgroup|setid", 0):  # a server before 7.2.5: see group.lua
        costs["xinfo|groups"] -= 1
    assert costs == {
        "time": 2, "hmget": 1, "hlen": 1, "hset": 3, "pexpire": 1, "xack": 1, "xdel": 1, "xinfo|groups": 1,
        "xlen": 1, "xinfo|stream": 1, "xsetid": 1, "publish": 1, "xreadgroup": 1, "zrem": 1, "exists": 1,
    }  # fmt: skip


async def test_commands_of_each_job(stream: Stream) -> None:
    costs = await commands_of_a_life(stream, MANY)

    each = [{name: count // MANY for name, count in cost.items() if count >= MANY} for cost in costs]
    assert each == [
        {"xadd": 1, "hset": 1},
        {"hlen": 1, "hset": 1},
        {"hmget": 1, "hset": 1, "pexpire": 1},
    ]
    assert (costs[0]["exists"], costs[2]["xtrim"], costs[2].get("xdel")) == (1, 1, None)
    assert not costs[2].keys() & {"xinfo|groups", "xlen"}


async def test_commands_of_a_call_with_one_job(stream: Stream) -> None:
    await accept(stream)  # the owner's first job, which makes an index of them
    await finish(stream, "w", await stream.claim("w", 1))
    pushing, claiming, finishing = await commands_of_a_life(stream, 1)

    assert pushing == {
        "xinfo|groups": 1, "xlen": 1, "zcard": 1, "time": 1, "exists": 1, "xadd": 2, "hset": 1,
        "zpopmin": 2, "publish": 1,
    }  # fmt: skip
    if claiming.pop("xgroup|setid", 0):  # a server before 7.2.5: see group.lua
        del claiming["xinfo|groups"]
    assert claiming == {
        "exists": 2, "xpending": 1, "time": 1, "xreadgroup": 1, "hlen": 1, "hset": 2, "zrem": 1,
    }  # fmt: skip
    assert finishing == {
        "time": 1, "hmget": 1, "hset": 1, "pexpire": 1, "xack": 1, "xdel": 1, "xinfo|groups": 1, "xlen": 1,
        "xinfo|stream": 1, "xsetid": 1, "publish": 1,
    }  # fmt: skip


async def test_a_claim_beside_the_last_finish_does_not_look_for_jobs(stream: Stream) -> None:
    await stream.register("w", 60, {"state": "idle"})
    await accept(stream)
    [job] = await stream.claim("w", 1)
    end = Finish(job.id, job.attempt, "finished", b"1", 60_000)

    costs = await commands_of(stream, lambda: stream.finish_and_claim("w", [end], ClaimCall(1, ahead=31)))

    assert not costs.keys() & {"xpending", "xreadgroup"}


async def test_looking_ahead_asks_once_whether_jobs_are_released(stream: Stream) -> None:
    """Where all ends are trimmed from the stream, nobody has read the group's counters."""
    await stream.register("w", 60, {"state": "idle"})
    await accept(stream, 3 * 4)
    jobs = await stream.claim("w", 4)
    ends = [Finish(job.id, job.attempt, "finished", b"1", 60_000) for job in jobs]

    costs = await commands_of(stream, lambda: stream.finish_and_claim("w", ends, ClaimCall(4, ahead=4)))

    # One for the claim and the jobs ahead, and one for the trimming.
    assert (costs["xtrim"], costs["xpending"], costs["xreadgroup"]) == (1, 2, 2)
