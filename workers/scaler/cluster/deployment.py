"""Carries decisions out: writes them into the Deployment's scale."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from workers.scaler.cluster.api import ApiError
from workers.scaler.observer import Unseen

if TYPE_CHECKING:
    from workers.scaler.cluster.api import Cluster
    from workers.scaler.cluster.pods import Pods
    from workers.scaler.loop import Leadership
    from workers.scaler.memory import Verdict

logger = logging.getLogger(__name__)


class Direct:
    """An `act` of a scaler's: patches the scale that `pods` has just seen, if it is another."""

    def __init__(self, cluster: Cluster, pods: Pods, leadership: Leadership) -> None:
        self._cluster = cluster
        self._pods = pods
        self._leadership = leadership
        self.patches = 0

    async def __call__(self, verdict: Verdict) -> None:
        """Raises Unseen if the API server refuses. Only for a leader that still is one."""
        scale = self._pods.scale
        if scale is None or scale.wanted == verdict.replicas or not self._leadership.leads:
            return
        try:
            await self._cluster.set_replicas(verdict.replicas)
        except ApiError as error:
            raise Unseen(f"the Deployment {self._cluster.deployment} can't be scaled ({error})") from error
        self.patches += 1
