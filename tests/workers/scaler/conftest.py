"""Fixtures: an API server, a cluster's client, and settings of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.queues import queue_name
from tests.workers.scaler.kubernetes import NAMESPACE, ApiServer, api_server
from workers.scaler.cluster.api import Cluster
from workers.stream import StreamSettings

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
def one_settings(valkey: Server, lease_s: float) -> StreamSettings:
    """Settings of `one_stream`, in place of a worker's."""
    return StreamSettings(redis_url=valkey.url, queue_name=queue_name(), lease_s=lease_s, redis_timeout_s=10)
