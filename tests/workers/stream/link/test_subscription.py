"""A subscription outlives its connections, and says when it may have missed something."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest
import redis
import uvloop

from tests.servers import Server, free_port, server_binaries
from tests.workers.stream.actions import listening, until
from workers.stream.link import subscription as subscription_module
from workers.stream.link.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Ear:
    """A subscription to "news" and what it was told."""

    def __init__(self, url: str) -> None:
        self.messages: list[bytes] = []
        self.subscribed = 0
        self.subscription = Subscription(url, {"news": self.messages.append}, self._on_subscribed)

    def _on_subscribed(self) -> None:
        self.subscribed += 1


def publish(server: Server, message: str, channel: str = "news") -> int:
    with redis.Redis(port=server.port) as client:
        return int(client.publish(channel, message))


@pytest.fixture
def absent(tmp_path: Path) -> Iterator[Server]:
    """A server that has not been started yet."""
    server = Server(server_binaries()["valkey"], tmp_path)
    yield server
    server.kill()


async def test_messages_of_the_channel_arrive_in_order(server: Server) -> None:
    ear = Ear(server.url)
    async with listening(ear.subscription):
        assert ear.subscribed == 1
        for message in ("a", "", "ü b"):
            assert publish(server, message) == 1
        publish(server, "no", "old news")
        publish(server, "last")
        await until(lambda: len(ear.messages) == 4)
    assert ear.messages == [b"a", b"", "ü b".encode(), b"last"]
    assert not ear.subscription.subscribed.is_set()
    assert publish(server, "too late") == 0, "its connection is closed"


async def test_it_subscribes_again_after_the_server_was_killed(start_server: Callable[..., Server]) -> None:
    server = start_server()
    ear = Ear(server.url)
    async with listening(ear.subscription):
        for restart in range(1, 3):
            server.kill()
            await until(lambda: not ear.subscription.subscribed.is_set())
            await asyncio.to_thread(server.start)
            await until(lambda n=restart: ear.subscribed == n + 1)  # type: ignore[misc]
            assert publish(server, f"after restart {restart}") == 1
            await until(lambda n=restart: len(ear.messages) == n)  # type: ignore[misc]
    assert ear.messages == [b"after restart 1", b"after restart 2"]


async def test_it_waits_for_a_server_that_is_not_there_yet(absent: Server) -> None:
    ear = Ear(absent.url)
    task = asyncio.create_task(ear.subscription.run())
    await asyncio.sleep(0.05)
    assert not task.done()
    await asyncio.to_thread(absent.start)
    await until(lambda: ear.subscribed == 1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_it_leaves_a_server_that_hangs_and_comes_back(absent: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.stream.link.subscription.PROBE_INTERVAL_S", 0.1)
    absent.start()
    assert absent._process is not None
    ear = Ear(absent.url)
    async with listening(ear.subscription):
        os.kill(absent._process.pid, signal.SIGSTOP)
        await until(lambda: not ear.subscription.subscribed.is_set())
        os.kill(absent._process.pid, signal.SIGCONT)
        await until(lambda: ear.subscribed == 2)
        publish(absent, "awake")
        await until(lambda: b"awake" in ear.messages)


async def test_a_connection_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one to a machine that vanished while it was being connected to."""
    monkeypatch.setattr("workers.stream.link.subscription.PROBE_INTERVAL_S", 0.1)
    connections = 0

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read()
        writer.close()

    port = free_port()
    ear = Ear(f"redis://127.0.0.1:{port}/0")
    async with await asyncio.start_server(ignore, "127.0.0.1", port):
        task = asyncio.create_task(ear.subscription.run())
        await until(lambda: connections >= 3)
        task.cancel()
        await asyncio.wait([task])
    assert ear.subscribed == 0


async def test_a_quiet_connection_is_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.stream.link.subscription.PROBE_INTERVAL_S", 0.02)
    ear = Ear(server.url)
    async with listening(ear.subscription):
        with redis.Redis(port=server.port) as client:
            before = client.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"]
            async with asyncio.timeout(15):
                while client.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"] < before + 5:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        assert publish(server, "still here") == 1
        await until(lambda: ear.messages == [b"still here"])
    assert ear.subscribed == 1


async def test_an_error_of_its_callback_is_raised(server: Server) -> None:
    def fail(_message: bytes) -> None:
        raise ValueError("no")

    subscription = Subscription(server.url, {"news": fail}, lambda: None)
    task = asyncio.create_task(subscription.run())
    await subscription.subscribed.wait()
    publish(server, "x")
    with pytest.raises(ValueError, match="no"):
        await task


def test_a_connection_that_breaks_while_it_is_quiet(absent: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """On uvloop, where writing to a closed connection raises."""
    monkeypatch.setattr(subscription_module, "PROBE_INTERVAL_S", 0.4)
    absent.start()

    async def main() -> None:
        ear = Ear(absent.url)
        async with listening(ear.subscription):
            await asyncio.sleep(0.5)  # one look has passed, and the next would send a PING
            absent.kill()
            await until(lambda: not ear.subscription.subscribed.is_set())
            await asyncio.to_thread(absent.start)
            await until(lambda: ear.subscribed == 2)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
