"""Carries decisions out without KEDA: patches the Deployment's scale."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from workers.scaler.cluster.api import ApiError
from workers.scaler.surroundings import ActuationError

if TYPE_CHECKING:
    from workers.scaler.cluster.api import KubernetesApi
    from workers.scaler.cluster.pods import PodObserver
    from workers.scaler.policy import Decision
    from workers.scaler.surroundings import Leadership

logger = logging.getLogger(__name__)


class DeploymentScaler:
    """An actuator: patches the scale that `pods` has just seen, if another is wanted."""

    def __init__(self, api: KubernetesApi, pods: PodObserver, leadership: Leadership) -> None:
        self._api = api
        self._pods = pods
        self._leadership = leadership
        self.patches = 0

    async def __call__(self, decision: Decision) -> None:
        """Patches the scale if this scaler still leads. Raises ActuationError if the API server refuses."""
        scale = self._pods.scale
        if scale is None or scale.wanted == decision.replicas or not self._leadership.leads:
            return
        try:
            await self._api.set_replicas(decision.replicas)
        except ApiError as error:
            raise ActuationError(f"the Deployment {self._api.deployment} can't be scaled ({error})") from error
        self.patches += 1
