"""Why pods get no place: what the scheduler, a quota or a policy says, in a sentence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.scaler.cluster.api import Document

_MOST_CHARS = 200
_DEVICE = re.compile(r"Insufficient ([a-z0-9.-]+\.[a-z]+/[A-Za-z0-9._-]*[A-Za-z0-9])")
_PREEMPTION = re.compile(r"[.,;]? *(no new claims to deallocate|preemption:).*", re.DOTALL)


def unschedulable(pod: Document) -> str:
    """Returns why the scheduler finds no node for a pod; empty if it does, or has not tried yet."""
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled":
            if condition.get("status") == "False" and condition.get("reason") == "Unschedulable":
                return _explained(str(condition.get("message") or "no node takes it"), pod)
            return ""
    return ""


def refused(deployment: Document) -> str:
    """Returns why a Deployment's pods are not even created, such as a quota; empty if they are."""
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return _short(str(condition.get("message") or condition.get("reason") or "they can't be created"))
    return ""


def _explained(message: str, pod: Document) -> str:
    message = _PREEMPTION.sub("", message)
    if found := _DEVICE.search(message):
        resource = found[1]
        return _short(
            f"no node has {_asked(pod, resource):g} {resource} free; a node without such a device, or without its "
            f"device plugin, has none: {message}"
        )
    return _short(message)


def _asked(pod: Document, resource: str) -> float:
    """Returns how many devices a pod asks for; they are whole numbers."""
    amounts = 0.0
    for container in (pod.get("spec") or {}).get("containers") or []:
        asked = (container.get("resources") or {}).get("limits") or {}
        text = str(asked.get(resource, "0"))
        amounts += float(text) if text.isdecimal() else 0.0
    return amounts or 1.0


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_CHARS else f"{line[: _MOST_CHARS - 3]}..."
