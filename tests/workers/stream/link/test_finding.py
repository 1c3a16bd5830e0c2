"""A server whose address others know: Sentinels, or nodes of a cluster."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from tests.processes import PATIENCE_S
from tests.queues import opened
from tests.sentinels import watched
from tests.servers import Server, free_port, server_binaries, server_kinds
from tests.workers.stream.actions import accept, listening
from tests.workers.stream.actions import new as new_job
from workers.stream import Stream, StreamSettings, bad_server, is_unavailable, until_available

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SLOTS = 16384


@pytest.fixture(params=server_kinds())
def binary(request: pytest.FixtureRequest) -> str:
    """The server's program, of each kind there is."""
    return server_binaries()[request.param]


async def test_a_server_is_found_by_the_first_sentinel_that_answers(binary: str, tmp_path: Path) -> None:
    with watched(binary, tmp_path) as (sentinel, servers):
        gone = f"127.0.0.1:{free_port()}"
        url = sentinel.url.replace("//", f"//{gone},")
        async with opened(StreamSettings(redis_url=url)) as stream:
            ended: list[str] = []
            async with listening(stream.ended(ended.append, lambda: None)):
                [job_id] = await accept(stream)
                assert await stream.view(job_id)
                assert (await stream.claim("w", 1))[0].id == job_id
        async with opened(StreamSettings(redis_url=servers[0].url)) as direct:
            assert await direct.view(job_id)


async def test_sentinels_and_server_have_passwords_of_their_own(valkey: Server, tmp_path: Path) -> None:
    with watched(valkey.binary, tmp_path) as (sentinel, servers):
        for place, password in ((servers[0], "of the server"), (sentinel, "of Sentinel")):
            async with Redis(port=place.port) as redis:
                await redis.execute_command("ACL", "SETUSER", "default", "resetpass", f">{password}")  # type: ignore[no-untyped-call]
        url = sentinel.url.replace("//", "//:of%20the%20server@")
        async with opened(StreamSettings(redis_url=f"{url}?sentinel_password=of+Sentinel")) as stream:
            assert await accept(stream)
        refused = Stream(StreamSettings(redis_url=url))
        with pytest.raises(Exception) as caught:  # noqa: PT011
            await refused.open()
        await refused.close()
        assert bad_server(caught.value).startswith("the server refuses its user or password")


async def test_what_stands_behind_a_url_is_not_what_it_says(valkey: Server, tmp_path: Path) -> None:
    async def said(url: str) -> str:
        stream = Stream(StreamSettings(redis_url=url))
        with pytest.raises(Exception) as caught:  # noqa: PT011
            await stream.open()
        await stream.close()
        return bad_server(caught.value)

    address = f"127.0.0.1:{valkey.port}"
    assert await said(f"redis+sentinel://{address}/main") == "it names servers that are no Sentinels"
    assert await said(f"redis+cluster://{address}") == "it names servers that are no nodes of a cluster"
    with watched(valkey.binary, tmp_path) as (sentinel, _):
        other = sentinel.url.replace("/main/", "/other/")
        assert await said(other) == "its Sentinels know no server by the name 'other'"
        sentinel.kill()
        stream = Stream(StreamSettings(redis_url=sentinel.url))
        with pytest.raises(Exception) as caught:  # noqa: PT011
            await stream.open()
        await stream.close()
        assert is_unavailable(caught.value)


@contextlib.asynccontextmanager
async def cluster(binary: str, folder: Path) -> AsyncIterator[list[Server]]:
    """Two nodes, each with half of the slots."""
    nodes: list[Server] = []
    with contextlib.ExitStack() as stack:
        for number in range(2):
            (folder / f"node-{number}").mkdir()
            bus = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
            nodes.append(Server(binary, folder / f"node-{number}", *bus))
            stack.callback(nodes[-1].kill)
            nodes[-1].start()
        for number, node in enumerate(nodes):
            async with Redis(port=node.port) as redis:
                half = (number * SLOTS // 2, (number + 1) * SLOTS // 2 - 1)
                await redis.execute_command("CLUSTER", "ADDSLOTSRANGE", *half)  # type: ignore[no-untyped-call]
                bus_port = nodes[0]._command[nodes[0]._command.index("--cluster-port") + 1]
                await redis.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, bus_port)  # type: ignore[no-untyped-call]
        yield nodes


@pytest.mark.slow
async def test_a_queue_is_found_on_the_node_of_a_cluster_that_has_its_slot(binary: str, tmp_path: Path) -> None:
    async with cluster(binary, tmp_path) as nodes:
        # The URL names the first node alone, and the keys of one of these are on the other.
        queues = {key_slot(("{" + name + "}").encode()) * 2 // SLOTS: name for name in ("a", "b", "c", "d", "e")}
        assert queues.keys() == {0, 1}
        for number, name in queues.items():
            url = f"redis+cluster://127.0.0.1:{nodes[0].port}"
            stream = Stream(StreamSettings(redis_url=url, queue_name=name))
            async with asyncio.timeout(PATIENCE_S):
                await until_available(stream.open, "opening")
            heard = asyncio.Event()
            async with listening(stream.wakeups("w", heard.set, lambda _: None)):
                await stream.register("w", 60, {"state": "idle", "running": "0"})
                [job_id] = await accept(stream)
                assert (await stream.claim("w", 1))[0].id == job_id
            await stream.close()
            async with Redis(port=nodes[number].port) as redis:
                assert await redis.exists("{" + name + "}:stream")


@pytest.mark.slow
async def test_a_queue_whose_slot_has_moved_is_found_again(binary: str, tmp_path: Path) -> None:
    async with cluster(binary, tmp_path) as nodes:
        stream = Stream(StreamSettings(redis_url=f"redis+cluster://127.0.0.1:{nodes[0].port}", queue_name="b"))
        slot = key_slot(b"{b}")
        assert slot < SLOTS // 2
        async with asyncio.timeout(PATIENCE_S):
            await until_available(stream.open, "opening")
        async with Redis(port=nodes[0].port) as old, Redis(port=nodes[1].port) as new:
            await old.flushall()
            owner = await new.execute_command("CLUSTER", "MYID")  # type: ignore[no-untyped-call]
            for node in (new, old):
                await node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", owner)  # type: ignore[no-untyped-call]
            async with asyncio.timeout(PATIENCE_S):
                pushed = await until_available(lambda: stream.push(new_job()), "pushing")
            assert pushed.outcome == "accepted"
            assert await new.exists("{b}:stream")
        await stream.close()
