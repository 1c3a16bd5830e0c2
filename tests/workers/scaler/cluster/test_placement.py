"""Pods that get no place: why, in words, and that they are not counted as coming."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.workers.scaler.cluster.test_pods import seen_by, watching
from tests.workers.scaler.tasks import until
from workers.scaler.cluster.placement import refused, unschedulable

if TYPE_CHECKING:
    from tests.workers.scaler.fake_kubernetes import FakeApiServer

NO_GPU = (
    "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. "
    "preemption: 0/3 nodes are available: 3 No preemption victims found."
)
QUOTA = 'pods "workers-x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=4, limited: pods=4'


def pod(message: str, **limits: str) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"spec": {"containers": [{"resources": {"limits": limits}}]}, "status": {"conditions": [condition]}}


def test_a_gpu_that_no_node_has_is_explained() -> None:
    assert unschedulable(pod(NO_GPU, **{"nvidia.com/gpu": "2"})) == (
        "no node has 2 nvidia.com/gpu free; a node without such a device, or without its device plugin, has none: "
        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu"
    )


def test_other_causes_are_the_schedulers_words() -> None:
    assert unschedulable(pod("0/1 nodes are available: 1 Insufficient cpu.")) == (
        "0/1 nodes are available: 1 Insufficient cpu."
    )
    assert len(unschedulable(pod("x" * 5000))) == 200


@pytest.mark.parametrize(
    "conditions",
    [
        [],
        [{"type": "PodScheduled", "status": "True"}],
        [{"type": "Ready", "status": "False", "reason": "Unschedulable"}],
    ],
)
def test_a_pod_that_is_placed_or_new_has_no_cause(conditions: list[dict[str, str]]) -> None:
    assert unschedulable({"status": {"conditions": conditions}}) == ""


def test_a_quota_is_told_of_by_the_deployment() -> None:
    conditions = [{"type": "ReplicaFailure", "status": "True", "message": QUOTA}]
    assert refused({"status": {"conditions": conditions}}) == QUOTA
    assert refused({"status": {}}) == ""


async def test_pods_without_a_node_are_not_coming(pods_api: FakeApiServer) -> None:
    pods_api.replicas = 3
    pods_api.add(age_s=100, ready=True)
    pods_api.add(age_s=4)
    pods_api.unplace(pods_api.add(age_s=20), NO_GPU)
    async with watching(pods_api) as pods:
        seen = await seen_by(pods)
    assert (seen.ready, len(seen.starting_ages_s), seen.unplaced) == (1, 1, 1)
    assert seen.unplaced_why.startswith("no node has 1 nvidia.com/gpu free; ")


async def test_a_node_that_came_before_is_waited_for(pods_api: FakeApiServer) -> None:
    """With a cluster autoscaler: its node's time is a part of the start."""
    pods_api.replicas = 2
    first = pods_api.add(age_s=60)
    pods_api.unplace(first, NO_GPU)
    async with watching(pods_api) as pods:
        assert (await seen_by(pods)).unplaced == 1
        now_s = time.time()
        pods_api.start(first, now_s - 1, now_s - 1, now_s)

        async def comes() -> bool:
            return (await pods.observe()).ready == 1

        await until(comes)
        pods_api.unplace(pods_api.add(age_s=50), NO_GPU)

        async def waited_for() -> bool:
            seen = await pods.observe()
            return seen.unplaced == 0 and any(age_s >= 49 for age_s in seen.starting_ages_s)

        await until(waited_for)


async def test_pods_that_a_quota_forbids_are_not_coming(
    pods_api: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.scaler.cluster.missing_pods._ASK_AFTER_S", 0.0)
    pods_api.replicas, pods_api.failure = 3, QUOTA
    pods_api.add(age_s=100, ready=True)
    async with watching(pods_api) as pods:
        seen = await seen_by(pods)
        assert (seen.ready, seen.starting_ages_s, seen.unplaced, seen.unplaced_why) == (1, (), 2, QUOTA)
        pods_api.failure = ""
        seen = await pods.observe()
        assert (seen.starting_ages_s, seen.unplaced) == ((0.0, 0.0), 0)
        monkeypatch.setattr("workers.scaler.cluster.missing_pods._MISSING_S", 0.0)
        pods_api.forbidden = ""
        seen = await pods.observe()
        assert seen.unplaced_why == "they are not created; the events of the ReplicaSet may say why"
