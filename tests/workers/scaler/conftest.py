"""Fixtures: an API server, a cluster's client, and a stream."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.workers.scaler.kubernetes import NAMESPACE, ApiServer, api_server
from workers.scaler.cluster import Cluster
from workers.stream import Stream, StreamSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers import Server


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    """An API server whose Deployment has pods as its scale says."""
    async with api_server() as server:
        yield server


@pytest.fixture
async def pods_api() -> AsyncIterator[ApiServer]:
    """An API server whose pods are the test's own affair."""
    async with api_server(controller=False) as server:
        yield server


@pytest.fixture
async def cluster(api: ApiServer) -> AsyncIterator[Cluster]:
    """A client of `api`."""
    async with Cluster(NAMESPACE, "workers", api.url) as cluster:
        yield cluster


@pytest.fixture
def one_settings(valkey: Server) -> StreamSettings:
    """A queue of the test's own, for tests of which one kind of server is enough."""
    return StreamSettings(redis_url=valkey.url, queue_name=f"test-{uuid.uuid4().hex}", lease_s=1.5, redis_timeout_s=10)


@pytest.fixture
async def one_stream(one_settings: StreamSettings) -> AsyncIterator[Stream]:
    """The open stream of `one_settings`."""
    stream = Stream(one_settings)
    await stream.open()
    yield stream
    await stream.close()
