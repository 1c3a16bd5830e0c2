"""The fixtures of arq's own tests, with this project's worker and client in the place of arq's.

Copied beside those tests as their conftest.py. What the tests import of arq is replaced as docs/migration.md says.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import arq
import arq.cli
import arq.connections
import arq.jobs
import arq.worker
import pytest
from arq.connections import ArqRedis, RedisSettings

from workers import run
from workers.arq.arguments import url_of
from workers.arq.client import JobClient, connect_client
from workers.arq.job import StreamJob
from workers.settings import StreamSettings, WorkerSettings
from workers.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

PORT = int(os.environ["ARQS_TESTS_PORT"])


async def create_pool(settings: RedisSettings | None = None, **kwargs: Any) -> JobClient:
    """arq's `create_pool`."""
    queue_name = kwargs.get("default_queue_name", "arq:queue")
    return connect_client(StreamSettings(redis_url=url_of(settings or RedisSettings()), queue_name=queue_name))


async def async_check_health(redis_settings: RedisSettings | None, health_check_key: str | None = None) -> int:
    """arq's `async_check_health`."""
    redis = redis_settings or RedisSettings(port=PORT)
    return await run.async_check_health(WorkerSettings(redis_url=url_of(redis)), health_check_key)


arqs_create_pool = arq.connections.create_pool
arq.Worker = arq.worker.Worker = Worker  # type: ignore[misc]
arq.create_pool = arq.connections.create_pool = create_pool  # type: ignore[assignment]
arq.jobs.Job = StreamJob  # type: ignore[assignment, misc]
for module in (arq, arq.worker, arq.cli):
    vars(module).update(run_worker=run.run_worker, check_health=run.check_health)
vars(arq.worker).update(async_check_health=async_check_health)
vars(arq.cli).update(create_worker=run.create_worker, default_log_config=run.log_config)


@pytest.fixture
async def loop() -> asyncio.AbstractEventLoop:
    """The test's loop."""
    return asyncio.get_running_loop()


@pytest.fixture(scope="session")
def test_redis_host() -> str:
    """The server's."""
    return "127.0.0.1"


@pytest.fixture(scope="session")
def test_redis_port() -> int:
    """The server's."""
    return PORT


@pytest.fixture(scope="session")
def test_redis_settings() -> RedisSettings:
    """The server's."""
    return RedisSettings(host="127.0.0.1", port=PORT)


@pytest.fixture
async def arq_redis() -> AsyncIterator[JobClient]:
    """A client on an empty server."""
    async with connect_client(StreamSettings()) as client:
        await client.flushall()
        yield client


@pytest.fixture
def arq_redis_msgpack(arq_redis: JobClient) -> JobClient:
    """The same: there is one encoding."""
    return arq_redis


@pytest.fixture
def arq_redis_retry(arq_redis: JobClient) -> JobClient:
    """The same: the worker repeats what fails, not the client."""
    return arq_redis


@pytest.fixture
async def worker(arq_redis: JobClient) -> AsyncIterator[Callable[..., Worker]]:
    """Makes workers; the last one is closed after the test."""
    made: list[Worker] = []

    def create(
        functions: Any = (), burst: bool = True, arq_redis: JobClient | None = arq_redis, **kwargs: Any
    ) -> Worker:
        made.append(Worker(functions, redis_pool=arq_redis, burst=burst, **kwargs))
        return made[-1]

    yield create
    for one in made:
        await one.close()


@pytest.fixture
def worker_retry(worker: Callable[..., Worker]) -> Callable[..., Worker]:
    """The same."""
    return worker


@pytest.fixture(name="create_pool")
async def fixture_create_pool() -> AsyncIterator[Callable[..., Any]]:
    """Makes arq's own clients, closed after the test."""
    pools: list[ArqRedis] = []

    async def create(settings: RedisSettings, **kwargs: Any) -> ArqRedis:
        pools.append(await arqs_create_pool(settings, **kwargs))
        return pools[-1]

    yield create
    for pool in pools:
        await pool.aclose(close_connection_pool=True)


@pytest.fixture
def cancel_remaining_task() -> None:
    """Nothing remains."""


class SetEnv:
    """Variables of the environment that are gone after the test."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def set(self, name: str, value: str) -> None:
        """Sets one."""
        self.names.add(name)
        os.environ[name] = value


@pytest.fixture
def env() -> Iterator[SetEnv]:
    """As arq's."""
    variables = SetEnv()
    yield variables
    for name in variables.names:
        del os.environ[name]
