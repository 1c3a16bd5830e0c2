"""A running gateway, shared by the tests that need no settings of their own; each finds its queue empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.service import GatewayProcess
from tests.queues import queue_name
from workers.stream import WEBHOOKS_PART, Stream, StreamSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import aiohttp

    from tests.servers import Server


@pytest.fixture(scope="session")
def server(valkey: Server) -> Server:
    """One kind of server is enough here: what differs between them is the stream's to know."""
    return valkey


@pytest.fixture(scope="session")
def settings(server: Server) -> StreamSettings:
    """The queue of all tests here."""
    return StreamSettings(redis_url=server.url, queue_name=queue_name(), lease_s=60)


@pytest.fixture
async def stream(settings: StreamSettings) -> AsyncIterator[Stream]:
    """The queue, open and empty."""
    stream = Stream(settings)
    # A gateway is a worker of the internal queue, and would notice only at its next heartbeat that it is gone.
    internal = f"{stream.prefix}{WEBHOOKS_PART}:".encode()
    keys = [key for key in await stream.redis.keys(f"{stream.prefix}:*") if not key.startswith(internal)]
    if keys:
        await stream.redis.delete(*keys)
    await stream.open()
    yield stream
    await stream.close()


@pytest.fixture(scope="session")
def shared(settings: StreamSettings) -> Iterator[GatewayProcess]:
    """The process behind `gateway`."""
    with GatewayProcess(settings, MAX_INPUT_BYTES="1000").running() as gateway:
        yield gateway


@pytest.fixture
async def gateway(shared: GatewayProcess, stream: Stream) -> AsyncIterator[GatewayProcess]:
    """A gateway that takes inputs of at most 1,000 bytes."""
    async with shared.client():
        yield shared


@pytest.fixture
def http(gateway: GatewayProcess) -> aiohttp.ClientSession:
    """A client of `gateway`."""
    return gateway.http
