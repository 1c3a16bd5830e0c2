"""Devices such as GPUs that models ask for and no node has: said before a job waits for a worker in vain."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from deploy.kubernetes.chart import NAMESPACE
from deploy.kubernetes.tools import answer, kubectl, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.kubernetes.chart import Manifest

# Shows why pods are not placed, or not even created, whoever scales them.
_WHY_PENDING = f"kubectl -n {NAMESPACE} get events --field-selector type=Warning"


def say_what_is_missing(manifests: Sequence[Manifest]) -> list[str]:
    """Says for each Deployment that its pods ask for more of a device than any node has, and returns these.

    They are named as `kubectl rollout` takes them. Raises DeployError.
    """
    if not any(_asked(manifest) for manifest in manifests):
        return []
    nodes = json.loads(answer(kubectl("get", "nodes", "-o", "json"), "asking for the nodes"))["items"]
    found = missing(manifests, nodes)
    for name, why in found.items():
        say(f"warning: a pod of {name} {why}: its workers get no place, and its jobs wait, until there is such a node")
    if found:
        say(f"once jobs wait for them, this says why: {_WHY_PENDING}")
    return [f"deployment/{name}" for name in found]


def missing(manifests: Sequence[Manifest], nodes: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What these Deployments ask for, and what there is, by their names."""
    found = {}
    for manifest in manifests:
        for resource, amount in _asked(manifest).items():
            most = max((_number(node["status"].get("allocatable", {}).get(resource)) for node in nodes), default=0)
            if most < amount:
                has = f"the most that a node has is {most}" if most else "no node has any, or has its device plugin"
                found[manifest["metadata"]["name"]] = f"asks for {amount} {resource}, but {has}"
    return found


def _asked(manifest: Manifest) -> dict[str, int]:
    """What a pod of a Deployment asks for of each device: a resource with a domain in its name, in whole numbers."""
    if manifest["kind"] != "Deployment":
        return {}
    found: dict[str, int] = {}
    for container in manifest["spec"]["template"]["spec"]["containers"]:
        for resource, amount in container.get("resources", {}).get("limits", {}).items():
            if "/" in resource:
                found[resource] = found.get(resource, 0) + _number(amount)
    return found


def _number(amount: object) -> int:
    text = str(amount or 0)
    return int(text) if text.isdecimal() else 0
