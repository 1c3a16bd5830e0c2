"""Random pushes, claims, renewals, expiries, ends and cancels by several workers, against a simple model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.workers.stream.lua.state_machine import StreamMachine
from workers.stream import PipelinedRedis
from workers.stream.link.connection import connect

if TYPE_CHECKING:
    from tests.servers import Server

STEPS = 50


def test_the_stream_does_what_the_model_does(server: Server) -> None:
    with (
        asyncio.Runner() as runner,
        redis.Redis(port=server.port) as client,
        client.pubsub() as ended,
        client.pubsub() as wakeups,
        client.pubsub() as answers,
    ):
        loop = runner.get_loop()
        stream_redis = connect(server.url, 30, PipelinedRedis)
        try:
            run_state_machine_as_test(
                lambda: StreamMachine(server.url, stream_redis, loop, ended, wakeups, answers),  # type: ignore[arg-type]
                settings=settings(
                    stateful_step_count=STEPS,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(stream_redis.aclose(close_connection_pool=True))
