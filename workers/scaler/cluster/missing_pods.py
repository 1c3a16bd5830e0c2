"""Pods that were ordered and are not created: since when, and why."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from workers.scaler.cluster.api import ApiError
from workers.scaler.cluster.placement import refused

if TYPE_CHECKING:
    from workers.scaler.cluster.api import KubernetesApi

logger = logging.getLogger(__name__)

# Seconds after which a pod that was ordered and has not been created is asked after, and asked after again; and after
# which nobody knows why it is missing, if nobody says.
_ASK_AFTER_S = 3.0
_MISSING_S = 30.0


class MissingPods:
    """Asks why pods are not created that were ordered."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._since_s: float | None = None
        self._asked_s = 0.0
        self._why = ""

    async def why(self, missing: int) -> str:
        """Returns why so many pods are missing; empty if none is, or if they may be created any moment."""
        now_s = time.monotonic()
        if not missing:
            self._since_s, self._why = None, ""
            return ""
        self._since_s = self._since_s or now_s
        if now_s - self._since_s >= _ASK_AFTER_S and now_s - self._asked_s >= _ASK_AFTER_S:
            self._asked_s = now_s
            try:
                self._why = refused(await self._api.deployment_object())
            except ApiError as error:
                self._why = ""
                logger.debug("the Deployment %s can't be read: %s", self._api.deployment, error)
        if not self._why and now_s - self._since_s >= _MISSING_S:
            return "they are not created; the events of the ReplicaSet may say why"
        return self._why
