"""One leader among several scalers: who holds a Lease (coordination.k8s.io), renewed while it lives.

After client-go's leaderelection: a Lease is free once its holder has not renewed it for `LEASE_S`, by the clock of
the one who waits, since it saw the last change. Its holder stops leading `RENEW_S` after the last renewal that
succeeded, by its own clock, counted from before that was sent. The time between is longer than any request of the
holder's may take (cluster.py), so that its last deed has ended before another begins. No clocks are compared.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from workers.scaler.cluster.api import TIMEOUT_S, ApiError

if TYPE_CHECKING:
    from workers.scaler.cluster.api import Cluster, Document

logger = logging.getLogger(__name__)

LEASE_S = 15.0
RENEW_S = 10.0
RETRY_S = 2.0


class Lease:
    """The Lease `name`, as the candidate `identity` sees it; `run` must run beside it."""

    def __init__(
        self, cluster: Cluster, name: str, identity: str, lease_s: float = LEASE_S, renew_s: float = RENEW_S
    ) -> None:
        if lease_s - renew_s < TIMEOUT_S:
            raise ValueError("a request of an old leader must end before another one leads")
        self._cluster = cluster
        self._name = name
        self._identity = identity
        self._lease_s = lease_s
        self._renew_s = renew_s
        self._until_s = 0.0
        self._seen: tuple[str, str] | None = None  # the last holder and renewal that were seen
        self._seen_s = 0.0
        self._warned = self._led = False
        self.holder = ""

    @property
    def leads(self) -> bool:
        """Whether this candidate may act, just now."""
        return time.monotonic() < self._until_s

    async def run(self) -> NoReturn:
        """Tries to be the leader, for ever."""
        while True:
            await self._try()
            self._tell()
            await asyncio.sleep(min(RETRY_S, self._renew_s / 5))

    async def close(self) -> None:
        """Once `run` has ended: gives the Lease back, if it has it."""
        if self.leads:
            self._until_s = 0.0
            await self._release()

    async def _try(self) -> None:
        before_s = time.monotonic()
        try:
            held = await self._take()
        except ApiError as error:
            if not self._warned:
                logger.warning("the Lease %s can't be read or written (%s), trying again", self._name, error)
            self._warned = True
            return
        self._warned = False
        self._until_s = before_s + self._renew_s if held else 0.0
        if held:
            self.holder = self._identity

    def _tell(self) -> None:
        if self.leads != self._led:
            self._led = self.leads
            logger.info("%s: %s has the Lease %s", "leading" if self._led else "not leading", self.holder, self._name)

    async def _take(self) -> bool:
        """Takes or renews the Lease if it may. False: it is another's. Raises ApiError."""
        found = await self._cluster.lease(self._name)
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
        if self.holder and time.monotonic() - self._seen_s < max(self._lease_s, _duration_s(spec)):
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
                "leaseDurationSeconds": max(1, round(self._lease_s)),
                "acquireTime": acquired or now,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }
        try:
            if found is None:
                await self._cluster.create_lease(lease)
            else:
                await self._cluster.replace_lease(self._name, lease)
        except ApiError as error:
            if error.status != 409:
                raise
            return False  # another was quicker
        return True

    async def _release(self) -> None:
        try:
            found = await self._cluster.lease(self._name)
            if found is not None and found["spec"].get("holderIdentity") == self._identity:
                found["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self._cluster.replace_lease(self._name, found)
        except ApiError as error:
            logger.warning("the Lease %s could not be given back (%s): it runs out", self._name, error)


def _duration_s(spec: Document) -> float:
    return float(spec.get("leaseDurationSeconds") or 0)
