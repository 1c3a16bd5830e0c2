"""Batches of the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.client import AsyncClient, FailedJob
from tests.gateway.client.answering import CuttingProxy, answering

if TYPE_CHECKING:
    from tests.gateway.service import GatewayProcess
    from workers.stream import Stream


async def test_a_batch_has_its_results_in_order(client: AsyncClient, stream: Stream) -> None:
    async with answering(stream, lambda value: ValueError("two") if value == 2 else value * 1.5):
        batch = await client.submit_batch(range(4), tag="a")
        results = [outcome async for outcome in batch.results()]
        completed = [outcome async for outcome in client.batch(batch.id).as_completed()]

    assert [outcome.place for outcome in results] == [0, 1, 2, 3]
    assert [results[n].value() for n in (0, 1, 3)] == [0.0, 1.5, 4.5]
    with pytest.raises(FailedJob, match="two"):
        results[2].value()
    assert sorted(completed) == sorted(results)
    assert (await batch.status())["counts"]["failed"] == 1


async def test_results_of_a_batch_survive_cuts(gateway: GatewayProcess, client: AsyncClient, stream: Stream) -> None:
    async with answering(stream, str):
        batch = await client.submit_batch(range(200))
        await batch.wait()
    # The first connection is that of the wait; those of the results are cut.
    proxy = CuttingProxy(gateway.port, [1500, 3000, 0, 6000])
    async with proxy.serving() as base, AsyncClient(base) as other:
        results = [outcome.value() async for outcome in other.batch(batch.id).results()]
        completed = [outcome.place async for outcome in other.batch(batch.id).as_completed()]

    assert results == [str(n) for n in range(200)]
    assert sorted(completed) == list(range(200))


async def test_a_batch_is_cancelled(client: AsyncClient) -> None:
    batch = await client.submit_batch(["a", "b"])

    assert await batch.cancel() == 2
    assert (await batch.wait())["counts"]["cancelled"] == 2
