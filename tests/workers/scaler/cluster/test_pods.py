"""The pods as an API server's watch tells of them."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from tests.workers.scaler.fake_kubernetes import NAMESPACE, SELECTOR, FakeApiServer, when
from tests.workers.scaler.tasks import beside, until
from workers.scaler.cluster.api import KubernetesApi
from workers.scaler.cluster.pods import PodObserver
from workers.scaler.surroundings import ObservationError, ReplicasSeen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def watching(api: FakeApiServer) -> AsyncIterator[PodObserver]:
    async with KubernetesApi(NAMESPACE, "workers", api.url) as client:
        pods = PodObserver(client)
        async with beside(pods.run()):
            yield pods


async def seen_by(pods: PodObserver) -> ReplicasSeen:
    """Returns them as soon as they can be seen."""
    found: list[ReplicasSeen] = []

    async def seen() -> bool:
        with contextlib.suppress(ObservationError):
            found.append(await pods.observe())
        return bool(found)

    await until(seen)
    return found[0]


async def until_seen(pods: PodObserver, ready: int, starting: int) -> list[float]:
    """Start-up times that were told until then."""
    startups_s: list[float] = []

    async def seen() -> bool:
        replicas = await seen_by(pods)
        startups_s.extend(replicas.startups_s)
        return (replicas.ready, len(replicas.starting_ages_s)) == (ready, starting)

    await until(seen)
    return startups_s


async def test_pods_are_ready_or_have_been_starting_for_some_time(pods_api: FakeApiServer) -> None:
    pods_api.replicas = 3
    pods_api.add(age_s=500, ready=True)
    pods_api.add(age_s=100)
    pods_api.add(age_s=20)
    async with watching(pods_api) as pods:
        replicas = await seen_by(pods)
        assert replicas.total == 3
        assert replicas.ready == 1
        first_s, second_s = replicas.starting_ages_s
        assert 99 <= first_s <= 130
        assert 19 <= second_s <= 50
        assert pods_api.selectors == {SELECTOR}


async def test_startup_is_from_creation_to_the_first_readiness(pods_api: FakeApiServer) -> None:
    pods_api.replicas = 2
    pods_api.add(age_s=5000, ready=True)
    name = pods_api.add(age_s=40)
    async with watching(pods_api) as pods:
        await until_seen(pods, 1, 1)
        pods_api.make_ready(name)
        (startup_s,) = await until_seen(pods, 2, 0)
        assert 39 <= startup_s <= 70
        # Readiness that comes and goes is no start.
        pods_api.make_ready(name, False)
        pods_api.make_ready(name)
        assert await until_seen(pods, 2, 0) == []


async def test_unready_but_loaded_is_capacity_and_a_restart_is_none(pods_api: FakeApiServer) -> None:
    """While Redis is away no worker is ready: that is no reason to order others."""
    pods_api.replicas = 2
    names = [pods_api.add(age_s=100, ready=True) for _ in range(2)]
    async with watching(pods_api) as pods:
        await until_seen(pods, 2, 0)
        pods_api.make_ready(names[0], False)
        pods_api.restart(names[1])
        await until_seen(pods, 1, 1)
        replicas = await seen_by(pods)
        assert replicas.starting_ages_s[0] < 50


async def test_terminating_pods_do_not_count(pods_api: FakeApiServer) -> None:
    pods_api.replicas = 1
    names = [pods_api.add(ready=True) for _ in range(3)]
    async with watching(pods_api) as pods:
        pods_api.terminate(names[0])
        pods_api.pods[names[1]]["status"]["phase"] = "Failed"
        pods_api.make_ready(names[1], False)
        await until_seen(pods, 1, 0)
        pods_api.remove(names[2])
        await until_seen(pods, 0, 1)  # the Deployment will replace it


async def test_pods_that_were_told_to_go_are_leaving_until_they_are_gone(pods_api: FakeApiServer) -> None:
    pods_api.replicas = 1
    names = [pods_api.add(ready=True) for _ in range(3)]
    async with watching(pods_api) as pods:
        await until_seen(pods, 1, 0)
        pods_api.terminate(names[0])
        # The watch has not told of this one yet, though the scale does not count it any more.
        pods_api.pods[names[1]]["metadata"]["deletionTimestamp"] = when(time.time())

        async def both_leave() -> bool:
            replicas = await seen_by(pods)
            return (replicas.total, replicas.leaving) == (1, 2)

        async def none_leaves() -> bool:
            return (await seen_by(pods)).leaving == 0

        await until(both_leave)
        for name in names[:2]:
            pods_api.remove(name)
        await until(none_leaves)


async def test_ordered_pods_count_before_they_are_created(pods_api: FakeApiServer) -> None:
    pods_api.replicas = 4
    pods_api.add(age_s=10)
    async with watching(pods_api) as pods:
        await until_seen(pods, 0, 4)
        assert (await seen_by(pods)).starting_ages_s[1:] == (0.0, 0.0, 0.0)


async def test_pods_of_a_rolling_update_do_not_count_twice(pods_api: FakeApiServer) -> None:
    pods_api.replicas = 2
    for _ in range(2):
        pods_api.add(age_s=100, ready=True)
    new = pods_api.add()
    async with watching(pods_api) as pods:
        await until_seen(pods, 2, 0)
        pods_api.make_ready(new)
        await until_seen(pods, 2, 0)


async def test_what_changes_while_the_watch_is_broken_is_seen(pods_api: FakeApiServer) -> None:
    pods_api.replicas = 2
    name = pods_api.add(age_s=30)
    async with watching(pods_api) as pods:
        await until_seen(pods, 0, 2)
        lists = pods_api.lists
        pods_api.down = "/"
        pods_api.break_watches()
        await until(lambda: pods.age_s > 0)
        pods_api.add(ready=True)
        pods_api.make_ready(name, at_s=time.time() - 10)
        pods_api.down = ""
        (startup_s,) = await until_seen(pods, 2, 0)
        assert startup_s < 30
        assert pods_api.lists > lists


async def test_old_data_is_not_presented(pods_api: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.scaler.cluster.pods._BROKEN_S", 0.0)
    pods_api.replicas = 1
    pods_api.add(ready=True)
    async with watching(pods_api) as pods:
        await seen_by(pods)
        pods_api.down = "/scale"
        with pytest.raises(ObservationError, match=r"the Deployment workers can't be read \(it is down\)"):
            await pods.observe()
        assert pods.scale is None
        pods_api.down = "/pods"
        pods_api.break_watches()
        await until(lambda: pods.age_s > 0)
        with pytest.raises(ObservationError, match=r"the pods can't be watched \(it is down\)"):
            await pods.observe()
        pods_api.down = ""
        await until_seen(pods, 1, 0)


async def test_an_api_server_that_is_away_is_an_observation_error(api: FakeApiServer) -> None:
    url = api.url.rpartition(":")[0] + ":1"
    async with KubernetesApi(NAMESPACE, "workers", url) as client:
        with pytest.raises(ObservationError, match="the Deployment workers can't be read"):
            await PodObserver(client).observe()
