"""The wrong server, user or password: one sentence, and no waiting for better times."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.processes import ROOT
from tests.queues import opened
from tests.servers import free_port
from tests.workers.stream.actions import accept, listening, new
from tests.workers.stream.servers.test_server import live
from workers.stream import (
    NewBatch,
    Pushed,
    PushLimits,
    Stream,
    StreamSettings,
    bad_server,
    is_unavailable,
    reason,
    until_available,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers import Server

RULES = re.search(
    r"ACL SETUSER leadtime on >PASSWORD (.*?)\n\n",
    (ROOT / "docs/operations.md").read_text(encoding="utf-8"),
    re.DOTALL,
)
QUEUE = "leadtime"


async def add_user(server: Server, *less: str) -> StreamSettings:
    """Makes the user of docs/operations.md, with fewer rights; settings that use it."""
    assert RULES is not None
    rules = RULES[1].replace("\\", " ").split()
    async with opened(StreamSettings(redis_url=server.url, queue_name=QUEUE)) as admin:
        await admin.redis.function_flush()  # type: ignore[misc]
        await admin.redis.execute_command("ACL", "SETUSER", "leadtime", "reset", "on", ">secret", *rules, *less)
    url = server.url.replace("//", "//leadtime:secret@")
    return StreamSettings(redis_url=url, queue_name=QUEUE, lease_s=1.5, redis_timeout_s=10, results_memory_bytes=1)


async def test_the_documented_rights_are_enough(start_server: Callable[..., Server]) -> None:
    server = start_server()
    settings = await add_user(server)
    async with opened(settings) as stream, opened(StreamSettings(redis_url=server.url, queue_name=QUEUE)) as admin:
        subscriptions = [stream.ended(lambda _: None, lambda: None), stream.unserved(lambda: None)]
        async with listening(*subscriptions, stream.wakeups("w", lambda: None, lambda _: None)):
            await accept(stream, kwargs=b"{}")
        await admin.redis.flushdb()
        await live(stream, admin)
        await push_together(stream)
        assert stream.memory.memory is not None
        # A full server that has lost the functions needs rights of its own.
        await admin.redis.function_flush()  # type: ignore[misc]
        await admin.redis.config_set("maxmemory", 1_000_000)
        await stream.sweep()
        await admin.redis.config_set("maxmemory", 0)
    async with opened(settings.model_copy(update={"push_replicas": 1})) as waiting:
        with pytest.raises(Exception, match="0 of 1 replicas"):
            await waiting.push(new())


async def push_together(stream: Stream) -> None:
    """What a batch, a list of jobs and a limit ask of the server."""
    batch = NewBatch("0" * 24, 2, owner="others", limits=PushLimits(outstanding=2))
    await stream.batches.stage(batch.id, [b"[1]", b"[2]"])
    assert await stream.batches.push(batch) == Pushed("accepted", batch.id)
    refused = await stream.push(new(owner=batch.owner, limits=batch.limits))
    assert refused.outcome == "limited"
    page = await stream.index.page(batch.owner, "", 10)
    assert await stream.index.delete([view.id for view in page.jobs]) == batch.size


@pytest.mark.parametrize("right", ["-xadd", "-fcall", "-hset", "resetkeys", "-function|load"])
async def test_a_missing_right_is_said_in_a_sentence(start_server: Callable[..., Server], right: str) -> None:
    stream = Stream(await add_user(start_server(), right))
    with pytest.raises(Exception) as caught:  # noqa: PT011
        await until_available(lambda: stream.push(new()), "pushing")
    assert bad_server(caught.value).startswith(
        "the server does not let its user do what has to be done (docs/operations.md lists the rights that it needs): "
    )
    assert reason(caught.value) == "the job stream's server refuses a command that the service needs"
    await stream.close()


async def test_a_missing_channel_is_said_in_a_sentence(start_server: Callable[..., Server]) -> None:
    async with opened(await add_user(start_server(), "resetchannels")) as stream:
        with pytest.raises(Exception) as caught:  # noqa: PT011
            await stream.ended(lambda _: None, lambda: None).run()
        assert bad_server(caught.value).startswith("the server does not let its user do what has to be done")


async def test_a_password_that_is_forgotten_or_wrong_is_said_in_a_sentence(
    start_server: Callable[..., Server],
) -> None:
    server = start_server()
    async with opened(StreamSettings(redis_url=server.url)) as stream:
        await stream.redis.config_set("requirepass", "secret")
    for url in (server.url, server.url.replace("//", "//:wrong@")):
        stream = Stream(StreamSettings(redis_url=url))
        with pytest.raises(Exception) as caught:  # noqa: PT011
            await until_available(stream.open, "opening")
        assert bad_server(caught.value).startswith("the server refuses its user or password: ")
        assert "wrong" not in bad_server(caught.value)
        assert reason(caught.value) == "the job stream's server refuses the service's user or password"
        await stream.close()


async def test_a_server_without_functions_is_too_old(start_server: Callable[..., Server]) -> None:
    stream = Stream(StreamSettings(redis_url=start_server("--rename-command", "FCALL", "").url))
    with pytest.raises(Exception) as caught:  # noqa: PT011
        await until_available(stream.open, "opening")
    assert bad_server(caught.value) == "the server does not know FCALL: it must be Redis 7 or newer, or Valkey"
    await stream.close()


async def test_a_database_that_is_not_there(start_server: Callable[..., Server]) -> None:
    stream = Stream(StreamSettings(redis_url=start_server().url.replace("/0", "/99")))
    with pytest.raises(Exception) as caught:  # noqa: PT011
        await until_available(stream.open, "opening")
    assert bad_server(caught.value).startswith("the server has no such database")
    await stream.close()


async def test_a_node_of_a_cluster_that_has_other_keys_says_so(start_server: Callable[..., Server]) -> None:
    port = free_port()
    server = start_server("--cluster-enabled", "yes", "--cluster-port", str(port))
    stream = Stream(StreamSettings(redis_url=server.url))
    with pytest.raises(Exception) as caught:  # noqa: PT011
        await stream.open()
    assert is_unavailable(caught.value)
    assert reason(caught.value) == "the job stream's server is a node of a cluster that does not serve the queue's keys"
    await stream.close()
