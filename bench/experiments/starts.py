"""How long workers took to start during a run: from a pod's creation until it was ready, to the second."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.load.observer import PodSource


class Starts:
    """A source that looks at a cluster's pods, and remembers. A pod that is gone before the next look is not seen."""

    def __init__(self, pods: PodSource) -> None:
        self._pods = pods
        self._took_s: dict[str, float] = {}

    @property
    def took_s(self) -> list[float]:
        """One entry for each pod that became ready."""
        return list(self._took_s.values())

    async def look(self) -> Mapping[str, float]:
        """What the cluster shows."""
        seen = await self._pods.look()
        for pod in self._pods.pods:
            for condition in pod.status.conditions or []:
                if condition.type == "Ready" and condition.status == "True":
                    took = condition.last_transition_time - pod.metadata.creation_timestamp
                    # Whoever was ready before is not ready for the first time.
                    self._took_s.setdefault(pod.metadata.uid, took.total_seconds())
        return seen


def sentence(took_s: list[float], model_s: float) -> str:
    """For a run's notes; `model_s` is what the model's loading takes of it."""
    if not took_s:
        return "No worker was seen to become ready."
    return (
        f"{len(took_s)} workers became ready, {statistics.median(took_s):g} s after their pods' creation (median; "
        f"{max(took_s):g} s at most): {model_s:g} s of that is the model's."
    )
