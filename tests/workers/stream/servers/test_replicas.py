"""Pushes that are answered once replicas have confirmed them (PUSH_REPLICAS)."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from tests.queues import opened
from tests.servers import Server
from tests.workers.stream.actions import accept, new
from workers.stream import ServerUnfit, StreamSettings, is_unavailable, reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONFIRMED_BY_NONE = "the job is stored, but only 0 of 1 replicas have confirmed it in time"


async def test_a_push_is_answered_once_a_replica_has_it(start_server: Callable[..., Server], tmp_path: Path) -> None:
    primary = start_server()
    folder = tmp_path / "replica"
    folder.mkdir()
    replica = Server(primary.binary, folder, "--replicaof", f"127.0.0.1 {primary.port}")
    settings = StreamSettings(redis_url=primary.url, push_replicas=1, redis_timeout_s=1)
    try:
        async with (
            opened(settings) as stream,
            opened(settings.model_copy(update={"push_replicas": 0})) as plain,
        ):
            alone = new(idempotency_key="k", fingerprint="f")
            for _ in range(2):
                with pytest.raises(ServerUnfit) as caught:
                    await stream.push(alone)
                assert is_unavailable(caught.value)
                assert reason(caught.value).startswith(CONFIRMED_BY_NONE)
            replica.start()
            async with asyncio.timeout(30):
                while True:
                    try:
                        again = await stream.push(new(idempotency_key="k", fingerprint="f"))
                        break
                    except ServerUnfit:
                        await asyncio.sleep(0.1)
            assert (again.outcome, again.id) == ("existing", alone.id)
            pushed = await asyncio.gather(*(stream.push(new()) for _ in range(50)))
            assert {one.outcome for one in pushed} == {"accepted"}

            replica.send(signal.SIGSTOP)
            [unconfirmed] = await accept(plain, idempotency_key="other", fingerprint="f")
            # Nothing is written for a job that is there; it is not confirmed for all that.
            with pytest.raises(ServerUnfit):
                await stream.push(new(unconfirmed, idempotency_key="other", fingerprint="f"))
            replica.send(signal.SIGCONT)
            later = await stream.push(new(unconfirmed, idempotency_key="other", fingerprint="f"))
            assert later.id == unconfirmed
            primary.kill()
            async with Redis(port=replica.port) as admin:
                await admin.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
            async with opened(StreamSettings(redis_url=replica.url)) as promoted:
                views = await promoted.view_many([(one.id, False) for one in (*pushed, later, again)])
                assert all(views)
    finally:
        replica.kill()
