"""The parts of a start, from a pod's conditions and the events of its pulls."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.workers.scaler.cluster.test_pods import watching
from tests.workers.scaler.fake_kubernetes import when
from tests.workers.scaler.tasks import until
from workers.scaler.cluster.startup_parts import StartupParts, parts_of

if TYPE_CHECKING:
    from tests.workers.scaler.fake_kubernetes import FakeApiServer

PULLED = 'Successfully pulled image "whisper" in 1.5s (1m2s including waiting). Image size: 5 bytes.'


def started(placed_s: float = 10, started_s: float = 80, ready_s: float = 100, restarts: int = 0) -> dict[str, Any]:
    running = {"running": {"startedAt": when(started_s)}}
    return {
        "metadata": {"creationTimestamp": when(0)},
        "status": {
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": when(placed_s)},
                {"type": "Ready", "status": "True", "lastTransitionTime": when(ready_s)},
            ],
            "containerStatuses": [{"restartCount": restarts, "state": running}],
        },
    }


@pytest.mark.parametrize(
    ("messages", "pulled_s"),
    [
        ([PULLED], 62),
        (['Successfully pulled image "whisper" in 4.25s'], 4.25),
        ([PULLED, 'Successfully pulled image "x" in 500ms (500ms including waiting)'], 62.5),
        (['Container image "whisper" already present on machine'], 0),
        ([], 0),
        (['Successfully pulled image "whisper" in 500h'], 70),
    ],
)
def test_parts_follow_on_each_other(messages: list[str], pulled_s: float) -> None:
    parts = parts_of(started(), [{"message": message} for message in messages])
    assert parts == {"scheduled": 10, "pulled": pulled_s, "started": 70 - pulled_s, "loaded": 20}
    assert list(parts) == ["scheduled", "pulled", "started", "loaded"]


def test_without_events_pulling_counts_as_starting() -> None:
    assert parts_of(started(), None) == {"scheduled": 10, "started": 70, "loaded": 20}


def test_what_started_again_or_tells_no_times_teaches_nothing() -> None:
    assert parts_of(started(restarts=1), []) == {}
    assert parts_of({"metadata": {}, "status": {}}, []) == {}
    odd = started()
    odd["status"]["containerStatuses"][0]["state"] = {"waiting": {}}
    assert parts_of(odd, []) == {}


def test_medians_of_what_was_seen() -> None:
    parts = StartupParts()
    for ready_s in (90, 100, 170):
        parts.learn(started(ready_s=ready_s), None)
    assert parts.medians_s() == {"scheduled": 10, "started": 70, "loaded": 20}


async def test_a_pod_that_becomes_ready_teaches_its_parts(pods_api: FakeApiServer) -> None:
    pods_api.replicas = 1
    name = pods_api.add(age_s=100)
    pods_api.events[name] = [PULLED]
    async with watching(pods_api) as pods:
        await until(lambda: pods._synced)
        now_s = int(time.time())
        pods_api.start(name, now_s - 90, now_s - 20, now_s)

        async def learnt() -> bool:
            parts_s = (await pods.observe()).startup_parts_s
            return (parts_s.get("pulled"), parts_s.get("started"), parts_s.get("loaded")) == (62, 8, 20)

        await until(learnt)
