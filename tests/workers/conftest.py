"""Fixtures: settings of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.queues import opened, queue_name
from workers.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers import Server
    from workers.stream import Stream, StreamSettings


@pytest.fixture
def worker_settings(settings: StreamSettings, lease_s: float) -> WorkerSettings:
    """Settings of a worker on the queue of `stream`."""
    return WorkerSettings(redis_url=settings.redis_url, queue_name=settings.queue_name, lease_s=lease_s, grace_s=5)


@pytest.fixture
def one_settings(valkey: Server, lease_s: float) -> WorkerSettings:
    """Settings of a worker on a queue of the test's own, for tests of which one kind of server is enough."""
    return WorkerSettings(redis_url=valkey.url, queue_name=queue_name(), lease_s=lease_s, grace_s=5)


@pytest.fixture
async def one_stream(one_settings: StreamSettings) -> AsyncIterator[Stream]:
    """The open stream of `one_settings`."""
    async with opened(one_settings) as stream:
        yield stream
