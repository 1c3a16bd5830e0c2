"""Who leads, by a Lease object."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.workers.scaler.tasks import beside, until
from workers.scaler.cluster.election import LeaderElection
from workers.stream import end

if TYPE_CHECKING:
    from tests.workers.scaler.fake_kubernetes import FakeApiServer
    from workers.scaler.cluster.api import KubernetesApi


def candidate(api_client: KubernetesApi, name: str) -> LeaderElection:
    """One that is quick to give up and to take over."""
    return LeaderElection(api_client, "scaler", name, duration_s=4.0, deadline_s=1.0)


async def test_one_of_two_leads_and_gives_it_back(api: FakeApiServer, api_client: KubernetesApi) -> None:
    first, second = candidate(api_client, "first"), candidate(api_client, "second")
    async with beside(first.run()) as (task,):
        await until(lambda: first.leads)
        async with beside(second.run()):
            await until(lambda: second.holder == "first")
            renewed = api.leases["scaler"]["spec"]["renewTime"]
            await until(lambda: api.leases["scaler"]["spec"]["renewTime"] != renewed)
            assert [first.leads, second.leads] == [True, False]
            await end(task)
            await first.close()
            assert [first.leads, second.leads] == [False, False]
            await until(lambda: second.leads)
            spec = api.leases["scaler"]["spec"]
            assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("second", 1)


async def test_leader_that_cannot_renew_stops_before_another_starts(
    api: FakeApiServer, api_client: KubernetesApi
) -> None:
    first, second = candidate(api_client, "first"), candidate(api_client, "second")
    both = []

    async def look() -> None:
        while True:
            both.append(first.leads and second.leads)
            await asyncio.sleep(0.005)

    async with beside(first.run()) as (task,), beside(look()):
        await until(lambda: first.leads)
        async with beside(second.run()):
            await until(lambda: second.holder == "first")
            task.cancel()  # as a process that hangs: it does not give the Lease object back
            await asyncio.wait([task])
            await until(lambda: not first.leads)
            await until(lambda: second.leads)
    assert both
    assert not any(both)


async def test_leader_without_the_api_leads_no_more(api: FakeApiServer, api_client: KubernetesApi) -> None:
    one = candidate(api_client, "first")
    async with beside(one.run()):
        await until(lambda: one.leads)
        api.down = "/"
        await until(lambda: not one.leads)
        api.down = ""
        await until(lambda: one.leads)


async def test_whoever_is_slower_loses(api: FakeApiServer, api_client: KubernetesApi) -> None:
    """Two that see the same free Lease object: the second write is refused."""
    candidates = [candidate(api_client, str(number)) for number in range(8)]
    await asyncio.gather(*(one._try() for one in candidates))
    assert sum(one.leads for one in candidates) == 1
    (leader,) = (one for one in candidates if one.leads)
    assert api.leases["scaler"]["spec"]["holderIdentity"] == leader._identity


async def test_clocks_are_not_compared(api: FakeApiServer, api_client: KubernetesApi) -> None:
    """A renewal that says it was long ago is as good as any: it has only just been seen."""
    old = {"holderIdentity": "other", "renewTime": "2020-01-01T00:00:00.000000Z", "leaseDurationSeconds": 4}
    api.leases["scaler"] = {"metadata": {"name": "scaler", "resourceVersion": "7"}, "spec": old}
    one = candidate(api_client, "first")
    await one._try()
    assert not one.leads
    seen_s = time.monotonic()
    async with beside(one.run()):
        await until(lambda: one.leads)
    assert time.monotonic() - seen_s > 3.9


def test_times_leave_room_for_the_last_request(api_client: KubernetesApi) -> None:
    with pytest.raises(ValueError, match="must end before"):
        LeaderElection(api_client, "scaler", "first", duration_s=4.0, deadline_s=2.0)
