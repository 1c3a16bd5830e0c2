"""What counts as an absent server, how calls are repeated, and that the client repeats none."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from typing import TYPE_CHECKING

import pytest
from arq.connections import ArqRedis
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.servers import Server, free_port, server_binaries
from tests.workers.stream.actions import new
from workers.stream import Stream, StreamSettings
from workers.stream.link.connection import backoff_s, connect, until_available
from workers.stream.link.errors import is_out_of_memory, is_unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@contextlib.asynccontextmanager
async def stream_at(url: str, timeout_s: float = 10) -> AsyncIterator[Stream]:
    stream = Stream(StreamSettings(redis_url=url, redis_timeout_s=timeout_s))
    yield stream
    await stream.close()


async def error_of_push(stream: Stream) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        await stream.push(new())
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("refused"),
        OSError("no route"),
        TimeoutError("late"),
        RedisConnectionError("closed"),
        RedisTimeoutError("late"),
        *map(
            BaseParser.parse_error,
            [
                "LOADING Redis is loading the dataset in memory",
                "READONLY You can't write against a read only replica.",
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
                "CLUSTERDOWN The cluster is down",
                "TRYAGAIN Multiple keys request during rehashing of slot",
                "NOREPLICAS Not enough good replicas to write.",
                "MISCONF Errors writing to the AOF file: No space left on device",
                "BUSY Redis is busy running a script.",
                "ERR max number of clients reached",
            ],
        ),
    ],
    ids=repr,
)
def test_an_error_that_passes_is_told_apart(error: Exception) -> None:
    assert is_unavailable(error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("LOADING"),
        *map(
            BaseParser.parse_error,
            [
                "ERR Function not found",
                "ERR BUSYNESS is no business of ours",
                "BUSYGROUP Consumer Group name already exists",
                "NOPERM this user has no permissions to run the 'fcall' command",
                "WRONGTYPE Operation against a key holding the wrong kind of value",
                "OOM command not allowed when used memory > 'maxmemory'.",
            ],
        ),
    ],
    ids=repr,
)
def test_an_error_that_stays_is_no_absence(error: Exception) -> None:
    assert not is_unavailable(error)


def test_only_a_full_memory_is_out_of_memory() -> None:
    [full] = map(BaseParser.parse_error, ["OOM command not allowed when used memory > 'maxmemory'."])
    assert is_out_of_memory(full)
    assert not is_out_of_memory(ResponseError("ERR NO ROOM"))
    assert not is_out_of_memory(MemoryError("OOM"))


async def test_a_server_that_is_not_there_or_goes_away_is_unavailable(start_server: Callable[..., Server]) -> None:
    async with stream_at(f"redis://127.0.0.1:{free_port()}/0") as nowhere:
        assert is_unavailable(await error_of_push(nowhere))
    server = start_server()
    async with stream_at(server.url) as stream:
        await stream.open()
        server.kill()
        assert is_unavailable(await error_of_push(stream))
        server.start()
        assert (await until_available(lambda: stream.push(new()), "pushing")).outcome == "accepted"


async def test_a_server_that_refuses_writes_for_now_is_unavailable(start_server: Callable[..., Server]) -> None:
    server = start_server("--busy-reply-threshold", "1")
    async with stream_at(server.url) as stream:
        await stream.open()
        redis = stream.redis
        await redis.config_set("min-replicas-to-write", 1)
        assert is_unavailable(await error_of_push(stream)), "too few replicas"
        await redis.config_set("min-replicas-to-write", 0)

        await redis.execute_command("REPLICAOF", "127.0.0.1", free_port())
        assert is_unavailable(await error_of_push(stream)), "a replica"
        await redis.config_set("replica-serve-stale-data", "no")
        assert is_unavailable(await error_of_push(stream)), "a replica without its primary"
        await redis.execute_command("REPLICAOF", "NO", "ONE")

        async with stream_at(server.url) as other:
            busy = asyncio.ensure_future(other.redis.eval("while true do end", 0))  # type: ignore[arg-type]
            errors: list[Exception] = []
            while not errors or "BUSY" not in str(errors[-1]):
                try:
                    await stream.push(new())
                    await asyncio.sleep(0.001)
                except ResponseError as error:
                    errors.append(error)
            assert all(map(is_unavailable, errors))
            await redis.execute_command("SCRIPT", "KILL")
            with pytest.raises(ResponseError, match="killed"):
                await busy
        assert (await stream.push(new())).outcome == "accepted"


async def test_a_server_that_hangs_is_unavailable_after_the_timeout(tmp_path: Path) -> None:
    server = Server(server_binaries()["valkey"], tmp_path)
    server.start()
    assert server._process is not None
    async with stream_at(server.url, 0.2) as stream, stream_at(server.url, 0.2) as unconnected:
        await until_available(stream.open, "opening")
        os.kill(server._process.pid, signal.SIGSTOP)
        async with asyncio.timeout(15):
            assert is_unavailable(await error_of_push(stream))
            assert is_unavailable(await error_of_push(unconnected))
        os.kill(server._process.pid, signal.SIGCONT)
        assert (await until_available(lambda: unconnected.push(new()), "pushing")).outcome == "accepted"
    server.kill()


async def test_the_client_repeats_nothing_by_itself() -> None:
    """A claim that is sent twice would hold twice as many jobs: only the caller knows what may be repeated."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Answers what a client says when it connects, and hangs up on anything else.
        while data := await reader.read(65_536):
            received.append(data)
            if b"SETINFO" not in data:
                break
            writer.write(b"+OK\r\n" * data.count(b"SETINFO"))
        writer.close()

    port = free_port()
    async with await asyncio.start_server(serve, "127.0.0.1", port):
        redis = connect(f"redis://127.0.0.1:{port}/0", 5, ArqRedis)
        with pytest.raises(RedisConnectionError):
            await redis.execute_command("FCALL", "claim", 0)  # type: ignore[no-untyped-call]
        await redis.aclose(close_connection_pool=True)
    assert sum(data.count(b"FCALL") for data in received) == 1


def test_waits_double_up_to_a_limit_and_are_random() -> None:
    for _ in range(20):
        waits = list(itertools.islice(backoff_s(0.05, 2.0), 12))
        for wait_s, full_s in zip(waits, [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, *[2.0] * 6], strict=True):
            assert full_s / 2 <= wait_s <= full_s
    assert len({next(backoff_s()) for _ in range(20)}) > 1


async def test_a_call_is_repeated_until_the_server_is_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    server = Server(server_binaries()["valkey"], tmp_path)
    tries = asyncio.Semaphore(0)
    async with stream_at(server.url) as stream:

        async def ping() -> str:
            tries.release()
            await stream.prove_write()
            return "pong"

        waiting = asyncio.create_task(until_available(ping, "asking"))
        for _ in range(3):
            await tries.acquire()
        assert not waiting.done()
        await asyncio.to_thread(server.start)
        assert await waiting == "pong"
    server.kill()
    # However often it tried, it said so once.
    messages = [record.message for record in caplog.records if record.name == "workers.stream.link.connection"]
    assert [message.split("(")[0] for message in messages] == [
        "asking: the server is unavailable ", "asking: the server is back",
    ]  # fmt: skip


async def test_an_error_that_stays_is_not_repeated() -> None:
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        raise ResponseError("NOPERM")

    with pytest.raises(ResponseError, match="NOPERM"):
        await until_available(call, "calling")
    assert calls == 1
