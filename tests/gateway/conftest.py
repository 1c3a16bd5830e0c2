"""A running gateway for tests that need no settings of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.service import Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from tests.servers import Server
    from workers.stream import StreamSettings


@pytest.fixture(scope="session")
def server(valkey: Server) -> Server:
    """One kind of server is enough here: what differs between them is the stream's to know."""
    return valkey


@pytest.fixture
async def gateway(settings: StreamSettings) -> AsyncIterator[Gateway]:
    """A gateway that takes inputs of at most 1,000 bytes."""
    async with Gateway(settings, MAX_INPUT_BYTES="1000") as gateway:
        yield gateway


@pytest.fixture
def http(gateway: Gateway) -> aiohttp.ClientSession:
    """A client of `gateway`."""
    return gateway.http
