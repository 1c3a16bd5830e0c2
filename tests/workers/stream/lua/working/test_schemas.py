"""Schemas of models, as workers publish and renew them and gateways read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.workers.stream.actions import command, key
from workers.stream import ANY_SCHEMA

if TYPE_CHECKING:
    from workers.stream import Stream


async def digests(stream: Stream) -> list[str]:
    return [view.digest for view in await stream.schemas()]


async def test_a_worker_is_told_once_to_publish_its_schema(stream: Stream) -> None:
    assert (await stream.register("w", 60, {"schema": "digest-1"})).wants_schema

    await stream.publish_schema("digest-1", b'{"accepts":true}')

    assert not (await stream.register("w", 60, {"schema": "digest-1"})).wants_schema
    [view] = await stream.schemas()
    assert (view.digest, view.text) == ("digest-1", b'{"accepts":true}')
    assert 0 <= view.seen_ms <= view.since_ms < 60_000
    assert [view.text for view in await stream.schemas(["digest-1"])] == [b""]


async def test_a_model_that_takes_anything_is_noted_only_beside_others(stream: Stream) -> None:
    assert not (await stream.register("w", 60, {"schema": ANY_SCHEMA})).wants_schema
    assert not (await stream.register("without-a-model", 60, {"schema": ""})).wants_schema
    assert await stream.schemas() == []

    await stream.publish_schema("digest-1", b"{}")
    assert not (await stream.register("w", 60, {"schema": ANY_SCHEMA})).wants_schema

    assert set(await digests(stream)) == {"digest-1", ANY_SCHEMA}
    assert [view.text for view in await stream.schemas() if view.is_any] == [b""]


async def test_schemas_go_a_day_after_their_last_renewal(stream: Stream) -> None:
    await stream.publish_schema("old", b"{}")
    await command(stream, "HSET", key(stream, "schemas"), "old:seen", "1000")
    assert (await digests(stream)) == ["old"]

    await stream.publish_schema("new", b"{}")

    assert (await digests(stream)) == ["new"]
    assert 86_000_000 < int(await command(stream, "PTTL", key(stream, "schemas"))) <= 86_400_000


async def test_the_eight_schemas_that_were_renewed_last_are_kept(stream: Stream) -> None:
    for number in range(20):
        await stream.publish_schema(f"digest-{number}", b"{}")
        await command(stream, "HINCRBY", key(stream, "schemas"), f"digest-{number}:seen", str(number * 1000 - 100_000))

    assert await digests(stream) == [f"digest-{number}" for number in range(19, 11, -1)]
    assert int(await command(stream, "HLEN", key(stream, "schemas"))) == 8 * 3
