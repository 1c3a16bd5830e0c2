"""Waits for a workload's pods, and says meanwhile which have no place on any node or are not even created, and why."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from deploy.kubernetes.tools import DeployError, answer, in_namespace, say
from workers.scaler.cluster.placement import refused, unschedulable

if TYPE_CHECKING:
    from collections.abc import Iterable

# A worker's rollout takes its image, its model's load and its predecessor's grace.
TIMEOUT_S = 900.0
_LOOK_S = 15


def wait(namespace: str, workload: str, timeout_s: float = TIMEOUT_S) -> None:
    """Returns when a workload, such as deployment/leadtime-gateway, is rolled out. Raises DeployError."""
    end_s, said = time.monotonic() + timeout_s, set[str]()
    command = in_namespace(namespace, "rollout", "status", workload, f"--timeout={_LOOK_S}s")
    name = workload.partition("/")[2]
    while True:
        try:
            answer(command, f"waiting for {workload}")
            return
        except DeployError as error:
            if "timed out" not in str(error) or time.monotonic() >= end_s:
                raise
        objects = json.loads(
            answer(in_namespace(namespace, "get", "pods,deployments", "-o", "json"), "asking for the pods")
        )["items"]
        for why in without_a_place(name, objects):
            if why not in said:
                say(f"pods of {name} have no place: {why}")
                said.add(why)


def without_a_place(name: str, objects: Iterable[dict[str, Any]]) -> list[str]:
    """What the scheduler says of a workload's pods that it finds no node for, and what keeps others from being created.

    `objects` are pods and Deployments.
    """
    found = []
    for one in objects:
        if one["kind"] == "Deployment" and one["metadata"]["name"] == name:
            found.append(refused(one))
        elif one["kind"] == "Pod" and one["metadata"]["name"].startswith(f"{name}-"):
            found.append(unschedulable(one))
    return [why for why in found if why]
