"""The server's memory: full, nearly full, evicting, and of unknown policy."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from tests.queues import opened
from tests.workers.stream.actions import accept, fail_one, finish, new, see, sweep
from workers.stream import ServerUnfit, Status, Stream, StreamSettings, is_out_of_memory, is_unavailable, reason
from workers.stream.library import LIBRARY, RUN_WHEN_FULL

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers import Server

EVICTING = "the job stream's server may evict jobs: its maxmemory-policy is allkeys-lru, and must be noeviction"


@pytest.fixture
def look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call that looks at the memory at times looks at it."""
    monkeypatch.setattr("workers.stream.link.memory.LOOK_EVERY_S", 0.0)


async def take_functions_away(stream: Stream) -> None:
    """Leaves the server as a new release finds it: it has other functions, and is full."""
    await stream.redis.function_flush()  # type: ignore[misc]
    await stream.redis.config_set("maxmemory", 1_000_000)


async def test_a_new_release_drains_a_full_server(start_server: Callable[..., Server]) -> None:
    """The server refuses to load its functions: all that ends jobs goes on without them."""
    settings = StreamSettings(redis_url=start_server().url, lease_s=1.5, redis_timeout_s=10)
    async with opened(settings) as old:
        failed = await fail_one(old)
        finished, failing, retried, deferred, released = await accept(old, 5)
        [dead_workers] = await accept(old)
        await take_functions_away(old)
        async with opened(settings) as stream:
            await stream.register("w", 60, {"state": "idle"})
            jobs = await stream.claim("w", 5)
            assert [job.id for job in jobs] == [finished, failing, retried, deferred, released]
            assert await stream.renew("w", [(job.id, 1) for job in jobs]) == []
            await finish(stream, "w", jobs[:1])
            await finish(stream, "w", jobs[1:2], "failed")
            assert await stream.defer("w", retried, 1, 0)
            assert await stream.defer("w", deferred, 1, 1)
            assert await stream.release("w", [(released, 1)]) == 1
            [lost] = [job for job in await stream.claim("dead", 5) if job.id == dead_workers]
            await asyncio.sleep(1.6)
            await sweep(stream)
            again = await stream.claim("w", 9)
            assert {job.id for job in again} == {retried, deferred, released, dead_workers}
            assert next(job for job in again if job.id == lost.id).attempt == 2
            await finish(stream, "w", again)
            await stream.prove_write()
            assert (await stream.demand()).waiting == 0
            assert [(await see(stream, job_id)).status for job_id in (finished, failing, deferred)] == [
                Status.FINISHED, Status.FAILED, Status.FINISHED,
            ]  # fmt: skip
            for refused in (lambda: stream.push(new()), lambda: stream.retry(failed)):
                with pytest.raises(Exception, match=r"full|maxmemory") as error:
                    await refused()
                assert is_out_of_memory(error.value)
                assert reason(error.value) == "the job stream is out of memory"
            await stream.leave("w")
            assert (await stream.counts()).outstanding == 0

            # There is room again: the functions are loaded, and pushes taken.
            await stream.redis.config_set("maxmemory", 0)
            async with asyncio.timeout(10):
                while not await stream.redis.execute_command("FUNCTION", "LIST", "LIBRARYNAME", LIBRARY):
                    await asyncio.sleep(0.1)
                    await stream.sweep()
            assert (await stream.push(new())).outcome == "accepted"


def test_all_functions_but_those_that_take_jobs_run_when_the_server_is_full() -> None:
    assert {"claim", "finish", "renew", "sweep", "cancel", "view", "open", "register", "leave"} <= RUN_WHEN_FULL
    assert not {"push", "retry", "requeue"} & RUN_WHEN_FULL


@pytest.mark.usefixtures("look_always")
async def test_no_job_is_trusted_to_a_server_that_may_evict_it(
    start_server: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server("--maxmemory", "500mb", "--maxmemory-policy", "allkeys-lru")
    async with opened(StreamSettings(redis_url=server.url)) as stream:
        for refused in (lambda: stream.push(new()), stream.sweep, stream.prove_write, stream.demand):
            with pytest.raises(ServerUnfit) as caught:
                await refused()
            assert is_unavailable(caught.value)
            assert reason(caught.value) == EVICTING
        assert (await stream.counts()).length == 0
        assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [EVICTING]

        # It is looked at again and again, as an operator may change it at any time.
        await stream.redis.config_set("maxmemory-policy", "noeviction")
        assert (await stream.push(new())).outcome == "accepted"
        await stream.prove_write()
        await stream.redis.config_set("maxmemory-policy", "volatile-ttl")
        with pytest.raises(ServerUnfit, match="volatile-ttl"):
            await stream.push(new())
        # What is there is done nevertheless: it is at risk for as long as it waits.
        await finish(stream, "w", await stream.claim("w", 1))
        await stream.redis.config_set("maxmemory", 0)
        assert (await stream.push(new())).outcome == "accepted", "without a limit nothing is evicted"


@pytest.mark.usefixtures("look_always")
async def test_a_policy_that_may_not_be_asked_for_is_a_warning(
    start_server: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server("--maxmemory-policy", "allkeys-lru", "--maxmemory", "500mb")
    async with opened(StreamSettings(redis_url=server.url)) as admin:
        rules = ("on", ">secret", "~*", "&*", "+@all", "-info")
        await admin.redis.execute_command("ACL", "SETUSER", "with-config", *rules)
        await admin.redis.execute_command("ACL", "SETUSER", "without", *rules, "-config")
    url = server.url.replace("//", "//with-config:secret@")
    async with opened(StreamSettings(redis_url=url)) as stream:
        with pytest.raises(ServerUnfit):
            await stream.push(new())
    caplog.clear()
    url = server.url.replace("//", "//without:secret@")
    async with opened(StreamSettings(redis_url=url)) as stream:
        for _ in range(3):
            assert (await stream.push(new())).outcome == "accepted"
        [warning] = stream.memory.warnings
        assert (
            warning == "whether the job stream's server may evict jobs is unknown: its ACL refuses INFO and CONFIG GET"
        )
        assert [record.message for record in caplog.records] == [warning]


@pytest.mark.usefixtures("look_always")
async def test_a_memory_that_fills_up_is_warned_of(
    start_server: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server("--maxmemory-policy", "noeviction")
    async with opened(StreamSettings(redis_url=server.url)) as stream:
        await stream.sweep()
        assert not stream.memory.warnings
        assert stream.memory.memory is not None
        used_bytes = stream.memory.memory.used_bytes
        assert used_bytes is not None
        for share, words in ((0.9, "more than 80% full"), (1.1, "out of memory: pushes are refused")):
            await stream.redis.config_set("maxmemory", round(used_bytes / share))
            caplog.clear()
            for _ in range(2):
                await stream.sweep()
            [warning] = stream.memory.warnings
            assert words in warning
            assert [record.message for record in caplog.records] == [warning]
        await stream.redis.config_set("maxmemory", 10 * used_bytes)
        await stream.prove_write()
        assert stream.memory.warnings == ()
