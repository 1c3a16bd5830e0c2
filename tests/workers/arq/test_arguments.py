"""What arq's `Worker` takes: honoured, or refused with what takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from arq.connections import ArqRedis, RedisSettings

from tests.queues import queue_name
from tests.workers.service import until_ended
from workers.arq.arguments import BadArgument, url_of
from workers.arq.client import connect_client
from workers.settings import WorkerSettings
from workers.stream import NewJob, Status, Stream
from workers.worker import Worker

if TYPE_CHECKING:
    from tests.servers import Server


async def job(ctx: dict[str, Any]) -> str:
    return "ran"


@pytest.mark.parametrize(
    ("redis", "url"),
    [
        (RedisSettings(), "redis://localhost:6379/0"),
        (RedisSettings(host="h", port=1, database=3), "redis://h:1/3"),
        (RedisSettings(host="::1", username="me", password="p@:/ß"), "redis://me:p%40%3A%2F%C3%9F@[::1]:6379/0"),
        (RedisSettings(password="only"), "redis://:only@localhost:6379/0"),
        (RedisSettings(unix_socket_path="/run/r.sock", database=2), "unix:///run/r.sock?db=2"),
        (
            RedisSettings(host="h", ssl=True, ssl_ca_certs="/etc/ca.pem", ssl_check_hostname=True),
            "rediss://h:6379/0?ssl_ca_certs=%2Fetc%2Fca.pem&ssl_check_hostname=True",
        ),
    ],
)
def test_redis_settings_become_the_servers_url(redis: RedisSettings, url: str) -> None:
    assert url_of(redis) == url


@pytest.mark.parametrize(
    ("redis", "sentence"),
    [
        (
            RedisSettings(sentinel=True),
            r"redis_settings.sentinel is not supported: set REDIS_URL to redis\+sentinel://HOST",
        ),
        (RedisSettings(host=[("h", 1)]), "redis_settings.host is not supported as a list: set REDIS_URL"),
        (RedisSettings(conn_timeout=9), "redis_settings.conn_timeout is not supported: set REDIS_TIMEOUT_S"),
        (RedisSettings(conn_retries=9), "redis_settings.conn_retries is not supported: a worker tries until"),
        (RedisSettings(retry_on_timeout=True), "redis_settings.retry_on_timeout is not supported: set REDIS_URL"),
    ],
)
def test_redis_settings_that_a_url_cannot_say_are_refused(redis: RedisSettings, sentence: str) -> None:
    with pytest.raises(BadArgument, match=sentence):
        url_of(redis)


@pytest.mark.parametrize(
    ("argument", "value", "sentence"),
    [
        ("job_serializer", repr, "job_serializer is not supported: arguments and results are JSON"),
        ("job_deserializer", repr, "job_deserializer is not supported: arguments and results are JSON"),
        ("expires_extra_ms", 5, "expires_extra_ms is not supported: a job waits until it is run or cancelled"),
        ("queue_name", "no {braces}", "queue_name: "),
        ("redis_pool", ArqRedis(), "redis_pool must be a client of workers.arq.client.connect_client"),
    ],
)
async def test_an_argument_that_cannot_be_honoured_is_refused(argument: str, value: Any, sentence: str) -> None:
    with pytest.raises(BadArgument, match=sentence):
        Worker([job], settings=WorkerSettings(), handle_signals=False, **{argument: value})


@pytest.mark.parametrize(
    ("argument", "value", "sentence"),
    [
        ("poll_delay", 0.1, "poll_delay has no effect: a push wakes an idle worker"),
        ("queue_read_limit", 7, "queue_read_limit has no effect: a claim brings"),
        ("allow_abort_jobs", False, "allow_abort_jobs has no effect: every job can be cancelled"),
        ("log_results", True, "log_results has no effect: results are not logged"),
    ],
)
async def test_an_argument_without_effect_is_told_in_the_log(
    argument: str, value: Any, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker([job], settings=WorkerSettings(), handle_signals=False, **{argument: value})
    assert sentence in caplog.text
    await worker.close()


async def test_queue_name_and_redis_settings_say_which_jobs_are_run(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    name = queue_name()
    stream = Stream(WorkerSettings(redis_url=valkey.url, queue_name=name))
    await stream.push(NewJob("job-7", b"[]", function="job"))
    redis = RedisSettings(host="127.0.0.1", port=valkey.port)

    worker = Worker([job], redis_settings=redis, queue_name=name, burst=True, handle_signals=False)
    await worker.async_run()
    await worker.close()

    assert (await until_ended(stream, "job-7")).status is Status.FINISHED
    assert worker.queue_name == name
    await stream.close()


async def test_redis_pool_may_be_a_client_of_the_stream(one_settings: WorkerSettings) -> None:
    async with connect_client(one_settings) as client:
        enqueued = await client.enqueue_job("job")
        assert enqueued is not None
        worker = Worker([job], redis_pool=client, burst=True, handle_signals=False)
        await worker.async_run()
        await worker.close()
        assert await enqueued.result(timeout=10) == "ran"  # the client is its owner's
