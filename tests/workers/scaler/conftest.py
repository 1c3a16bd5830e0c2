"""Fixtures: a Kubernetes API server, its client, and settings of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.queues import queue_name
from tests.workers.scaler.fake_kubernetes import NAMESPACE, FakeApiServer, api_server
from workers.scaler.cluster.api import KubernetesApi
from workers.stream import StreamSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers import Server


@pytest.fixture
async def api() -> AsyncIterator[FakeApiServer]:
    """An API server whose Deployment has pods as its scale says."""
    async with api_server() as server:
        yield server


@pytest.fixture
async def pods_api() -> AsyncIterator[FakeApiServer]:
    """An API server whose pods are the test's own affair."""
    async with api_server(controller=False) as server:
        yield server


@pytest.fixture
async def api_client(api: FakeApiServer) -> AsyncIterator[KubernetesApi]:
    """A client of `api`."""
    async with KubernetesApi(NAMESPACE, "workers", api.url) as client:
        yield client


@pytest.fixture
def one_settings(valkey: Server) -> StreamSettings:
    """Settings of `one_stream`, in place of a worker's."""
    return StreamSettings(redis_url=valkey.url, queue_name=queue_name(), lease_s=1.5, redis_timeout_s=10)
