"""What Kubernetes asks a scaler.

| path | 200 means | 503 means |
| --- | --- | --- |
| `/healthz` | its rounds go on | they are stuck: restart it |
| `/readyz` | it has a decision to tell, its own or the leader's | it has seen nothing yet |
| `/metrics` | Prometheus' text format | - |

One that holds its last decision because Redis or the API server is away is alive and ready: a restart would help
nobody, and KEDA must be able to ask it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from workers.scaler.metrics import ScalerMetrics

if TYPE_CHECKING:
    from workers.scaler.loop import Scaler

_HOST = "0.0.0.0"  # noqa: S104 - a kubelet asks from outside
# A round waits for Redis and for the API server, each with a timeout of its own.
STUCK_S = 30.0
_SHUTDOWN_S = 0.5


class CannotProbe(RuntimeError):  # noqa: N818
    """The port can't be listened on. The message is one sentence on why."""


class ScalerProbe:
    """Serves PROBE_PORT."""

    def __init__(self, scaler: Scaler) -> None:
        self._scaler = scaler
        self._metrics = ScalerMetrics(scaler)
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._prometheus),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)

    async def open(self, port: int) -> int:
        """Returns the port (of 0: a free one). Raises CannotProbe."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, _HOST, port).start()
        except OSError as error:
            await self._runner.cleanup()
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise CannotProbe(f"bad setting PROBE_PORT={port}: can't listen there: {reason}") from error
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Serves no more."""
        await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        age_s = self._scaler.age_s
        if age_s > STUCK_S:
            return _answer(503, f"the last round began {age_s:.0f} s ago, {STUCK_S:g} s are allowed")
        return _answer(200, "alive")

    async def _readyz(self, _request: web.Request) -> web.Response:
        verdict = self._scaler.verdict
        if verdict is None:
            return _answer(503, "nothing has been decided yet")
        return _answer(200, f"{verdict.replicas} replicas: {verdict.reason}")

    async def _prometheus(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(status: int, detail: str) -> web.Response:
    return web.json_response({"status": status, "detail": detail}, status=status)
