"""Elects one leader among several scalers: the holder of a Lease object (coordination.k8s.io), which it keeps renewing.

As in client-go's leaderelection, and with its terms. A Lease object is free once a candidate has not seen it change for
`LEASE_DURATION_S`, by the candidate's own clock. Its holder stops leading `RENEW_DEADLINE_S` after it sent the last
renewal that succeeded, by its own clock. The time between the two is longer than any request may take (api.py), so the
last request of one leader has ended before the next leads. No clocks are compared.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from workers.scaler.cluster.api import TIMEOUT_S, ApiError

if TYPE_CHECKING:
    from workers.scaler.cluster.api import Document, KubernetesApi

logger = logging.getLogger(__name__)

# client-go's names and defaults, in seconds.
LEASE_DURATION_S = 15.0
RENEW_DEADLINE_S = 10.0
RETRY_PERIOD_S = 2.0


class LeaderElection:
    """The election by the Lease object `name`, for the candidate `identity`; `run` must run beside it."""

    def __init__(
        self,
        api: KubernetesApi,
        name: str,
        identity: str,
        duration_s: float = LEASE_DURATION_S,
        deadline_s: float = RENEW_DEADLINE_S,
    ) -> None:
        if duration_s - deadline_s < TIMEOUT_S:
            raise ValueError("a request of an old leader must end before another one leads")
        self._api = api
        self._name = name
        self._identity = identity
        self._duration_s = duration_s
        self._deadline_s = deadline_s
        self._until_s = 0.0
        self._seen: tuple[str, str] | None = None  # the last holder and renewal that were seen
        self._seen_s = 0.0
        self._warned = self._led = False
        self.holder = ""

    @property
    def leads(self) -> bool:
        """Whether this candidate is the leader, just now."""
        return time.monotonic() < self._until_s

    async def run(self) -> NoReturn:
        """Tries to be the leader, for ever."""
        while True:
            await self._try()
            self._tell()
            await asyncio.sleep(min(RETRY_PERIOD_S, self._deadline_s / 5))

    async def close(self) -> None:
        """Gives the Lease object back, if it holds it; to be called once `run` has ended."""
        if self.leads:
            self._until_s = 0.0
            await self._release()

    async def _try(self) -> None:
        before_s = time.monotonic()
        try:
            taken = await self._take()
        except ApiError as error:
            if not self._warned:
                logger.warning("the Lease object %s can't be read or written (%s), trying again", self._name, error)
            self._warned = True
            return
        self._warned = False
        self._until_s = before_s + self._deadline_s if taken else 0.0
        if taken:
            self.holder = self._identity

    def _tell(self) -> None:
        if self.leads != self._led:
            self._led = self.leads
            logger.info(
                "%s: %s has the Lease object %s", "leading" if self._led else "not leading", self.holder, self._name
            )

    async def _take(self) -> bool:
        """Takes or renews the Lease object; returns False if it is another's. Raises ApiError."""
        found = await self._api.lease_object(self._name)
        if found is None:
            return await self._write(None, 0)
        spec = found.get("spec") or {}
        self.holder = str(spec.get("holderIdentity") or "")
        transitions = int(spec.get("leaseTransitions") or 0)
        if self.holder == self._identity:
            return await self._write(found, transitions)
        seen = (self.holder, str(spec.get("renewTime")))
        if seen != self._seen:
            self._seen, self._seen_s = seen, time.monotonic()
        if self.holder and time.monotonic() - self._seen_s < max(self._duration_s, _duration_s(spec)):
            return False
        return await self._write(found, transitions + 1)

    async def _write(self, found: Document | None, transitions: int) -> bool:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = (found or {}).get("spec") or {}
        acquired = spec.get("acquireTime") if spec.get("holderIdentity") == self._identity else None
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": (found or {}).get("metadata") or {"name": self._name},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": max(1, round(self._duration_s)),
                "acquireTime": acquired or now,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }
        try:
            if found is None:
                await self._api.create_lease_object(lease)
            else:
                await self._api.replace_lease_object(self._name, lease)
        except ApiError as error:
            if error.status != 409:
                raise
            return False  # another candidate was quicker
        return True

    async def _release(self) -> None:
        try:
            found = await self._api.lease_object(self._name)
            if found is not None and found["spec"].get("holderIdentity") == self._identity:
                found["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self._api.replace_lease_object(self._name, found)
        except ApiError as error:
            logger.warning("the Lease object %s could not be given back (%s): it runs out", self._name, error)


def _duration_s(spec: Document) -> float:
    return float(spec.get("leaseDurationSeconds") or 0)
