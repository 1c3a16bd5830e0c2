"""Who leads, by a Lease."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.workers.scaler.policy.tools import beside, until
from workers.scaler.cluster.election import Lease
from workers.stream import end

if TYPE_CHECKING:
    from tests.workers.scaler.kubernetes import ApiServer
    from workers.scaler.cluster.api import Cluster


def candidate(cluster: Cluster, name: str) -> Lease:
    """One that is quick to give up and to take over."""
    return Lease(cluster, "scaler", name, lease_s=4.0, renew_s=1.0)


async def test_one_of_two_leads_and_gives_it_back(api: ApiServer, cluster: Cluster) -> None:
    first, second = candidate(cluster, "first"), candidate(cluster, "second")
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


async def test_leader_that_cannot_renew_stops_before_another_starts(api: ApiServer, cluster: Cluster) -> None:
    first, second = candidate(cluster, "first"), candidate(cluster, "second")
    both = []

    async def look() -> None:
        while True:
            both.append(first.leads and second.leads)
            await asyncio.sleep(0.005)

    async with beside(first.run()) as (task,), beside(look()):
        await until(lambda: first.leads)
        async with beside(second.run()):
            await until(lambda: second.holder == "first")
            task.cancel()  # as a process that hangs: it does not give the Lease back
            await asyncio.wait([task])
            await until(lambda: not first.leads)
            await until(lambda: second.leads)
    assert both
    assert not any(both)


async def test_leader_without_the_api_leads_no_more(api: ApiServer, cluster: Cluster) -> None:
    lease = candidate(cluster, "first")
    async with beside(lease.run()):
        await until(lambda: lease.leads)
        api.down = "/"
        await until(lambda: not lease.leads)
        api.down = ""
        await until(lambda: lease.leads)


async def test_whoever_is_slower_loses(api: ApiServer, cluster: Cluster) -> None:
    """Two that see the same free Lease: the second write is refused."""
    leases = [candidate(cluster, str(number)) for number in range(8)]
    await asyncio.gather(*(lease._try() for lease in leases))
    assert sum(lease.leads for lease in leases) == 1
    (leader,) = (lease for lease in leases if lease.leads)
    assert api.leases["scaler"]["spec"]["holderIdentity"] == leader._identity


async def test_clocks_are_not_compared(api: ApiServer, cluster: Cluster) -> None:
    """A renewal that says it was long ago is as good as any: it has only just been seen."""
    old = {"holderIdentity": "other", "renewTime": "2020-01-01T00:00:00.000000Z", "leaseDurationSeconds": 4}
    api.leases["scaler"] = {"metadata": {"name": "scaler", "resourceVersion": "7"}, "spec": old}
    lease = candidate(cluster, "first")
    await lease._try()
    assert not lease.leads
    seen_s = time.monotonic()
    async with beside(lease.run()):
        await until(lambda: lease.leads)
    assert time.monotonic() - seen_s > 3.9


def test_times_leave_room_for_the_last_request(cluster: Cluster) -> None:
    with pytest.raises(ValueError, match="must end before"):
        Lease(cluster, "scaler", "first", lease_s=4.0, renew_s=2.0)
