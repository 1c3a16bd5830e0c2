"""The connection that function calls go over."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import ssl
import threading
import uuid
from typing import TYPE_CHECKING, cast

import pytest
import trustme
import uvloop
from redis.exceptions import AuthenticationError, OutOfMemoryError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.servers import Server, free_port
from workers.stream import NewJob, Stream, reason
from workers.stream.link.connection import connect
from workers.stream.link.pipeline import PipelinedRedis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from workers.settings import WorkerSettings


@contextlib.asynccontextmanager
async def client(url: str, timeout_s: float | None = 5.0) -> AsyncIterator[PipelinedRedis]:
    redis = connect(url, timeout_s, PipelinedRedis)
    yield redis
    await redis.aclose(close_connection_pool=True)


@pytest.fixture
def echo(valkey: Server) -> Iterator[str]:
    """A function that replies with its argument, or does what that says."""
    import redis

    name = f"echo_{uuid.uuid4().hex}"
    body = """
    redis.register_function('%s', function(keys, args)
      if args[1] == 'fail' then return redis.error_reply('ERR on demand') end
      if args[1] == 'oom' then return redis.error_reply('OOM on demand') end
      if args[1] == 'array' then return {1, args[2], {}} end
      return args[1]
    end)"""
    with redis.Redis(port=valkey.port) as server:
        server.function_load(f"#!lua name={name}\n{body % name}")
        yield name
        server.function_delete(name)


async def test_many_calls_at_once_each_get_their_reply(valkey: Server, echo: str) -> None:
    async with client(valkey.url) as redis:
        sizes = [1, 100_000, 3, 2_000_000, 5, *range(200)]
        replies = await asyncio.gather(*(redis.execute_command("FCALL", echo, 0, "x" * size) for size in sizes))
        assert [len(reply) for reply in replies] == sizes
        assert await redis.execute_command("FCALL", echo, 0, "array", b"\xff\r\n") == [1, b"\xff\r\n", []]
        assert await redis.ping()


async def test_errors_are_the_clients(valkey: Server, echo: str) -> None:
    async with client(valkey.url) as redis:
        calls = [("FCALL", echo, 0, "x"), ("FCALL", echo, 0, "fail"), ("FCALL", "unknown", 0)]
        replies = await asyncio.gather(*(redis.execute_command(*call) for call in calls), return_exceptions=True)
        assert replies[0] == b"x"
        assert [type(reply) for reply in replies[1:]] == [ResponseError, ResponseError]
        assert "on demand" in str(replies[1])
        assert "Function not found" in str(replies[2])
        with pytest.raises(OutOfMemoryError):
            await redis.execute_command("FCALL", echo, 0, "oom")


async def test_a_cancelled_call_leaves_the_others_in_step(valkey: Server, echo: str) -> None:
    async with client(valkey.url) as redis:
        calls = [asyncio.create_task(redis.execute_command("FCALL", echo, 0, str(n))) for n in range(20)]
        await asyncio.sleep(0)
        for call in calls[::3]:
            call.cancel()
        replies = await asyncio.gather(*calls, return_exceptions=True)
        for n, reply in enumerate(replies):
            if n % 3:
                assert reply == str(n).encode()
            else:
                assert isinstance(reply, asyncio.CancelledError)
        assert await redis.execute_command("FCALL", echo, 0, "last") == b"last"


async def test_it_connects_again(valkey: Server, echo: str) -> None:
    async with client(valkey.url) as redis:
        assert await redis.execute_command("FCALL", echo, 0, "1") == b"1"
        # All of them, this test's included: others of this process open theirs anew.
        await redis.client_kill_filter(_type="normal", skipme=False)

        async def again() -> bytes | None:
            with contextlib.suppress(RedisConnectionError):
                return cast("bytes", await redis.execute_command("FCALL", echo, 0, "2"))
            return None

        replies = [await asyncio.wait_for(again(), 10) for _ in range(3)]
        assert replies[-1] == b"2"


async def test_no_server() -> None:
    async with client(f"redis://127.0.0.1:{free_port()}/0") as redis:
        with pytest.raises(RedisConnectionError):
            await redis.execute_command("FCALL", "any", 0)


async def test_a_refused_password(valkey: Server) -> None:
    async with client(valkey.url.replace("//", "//nobody:hunter2@")) as redis:
        with pytest.raises(AuthenticationError):
            await redis.execute_command("FCALL", "any", 0)


async def test_a_server_that_does_not_answer_or_talks_nonsense() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for part in (b"LIB-NAME", b"LIB-VER"):  # the handshake: CLIENT SETINFO, twice
                await reader.readuntil(part)
                writer.write(b"+OK\r\n")
            await reader.readuntil(b"FCALL")
            if b"nonsense" in await reader.read(1000):
                writer.write(b"nonsense\r\n")
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with client(url, 0.2) as redis:
            with pytest.raises(RedisTimeoutError, match=r"no answer within 0\.2 s"):
                await redis.execute_command("FCALL", "silence", 0)
        async with client(url, 5.0) as redis:
            with pytest.raises(RedisConnectionError, match="the server broke the protocol"):
                await redis.execute_command("FCALL", "nonsense", 0)


@contextlib.contextmanager
def tls_proxy(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """The port of a proxy that ends TLS in front of a server; in a thread, with a loop of its own."""
    started: queue.Queue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, inner[1]), copy(inner[0], writer))

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        over = asyncio.Event()
        started.put((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), over))
        await over.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    proxy_port, loop, over = started.get(timeout=10)
    try:
        yield proxy_port
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)


async def test_the_name_in_the_certificate_is_checked(valkey: Server, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("other.example").configure_cert(context)
    with tls_proxy(valkey.port, context) as port:
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}"
        async with client(url) as redis:
            with pytest.raises(RedisConnectionError, match="certificate is not valid") as caught:
                await redis.execute_command("FCALL", "any", 0)
        assert reason(caught.value) == "the certificate of the job stream's server is not trusted"
        for option in ("&ssl_check_hostname=false", "&ssl_cert_reqs=none"):
            async with client(url + option) as redis:
                with pytest.raises(ResponseError, match="Function not found"):
                    await redis.execute_command("FCALL", "any", 0)


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_tls(one_settings: WorkerSettings, valkey: Server, tmp_path: Path, factory: type) -> None:
    """Large arguments and replies too, on both kinds of loop."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    args = b'["' + b"x" * 3_000_000 + b'"]'

    async def main(port: int) -> None:
        async with client(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}") as redis:
            stream = Stream(one_settings, redis)
            assert (await stream.push(NewJob("one", args))).outcome == "accepted"
            (job,) = await stream.claim("me", 10)
            assert job.args == args

    with tls_proxy(valkey.port, context) as port, asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(port))
