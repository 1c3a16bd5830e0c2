"""The pages by which Kubernetes and Prometheus probe a process, on a port of their own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from workers.telemetry.registry import format_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from workers.telemetry.registry import MetricsFormat

_HOST = "0.0.0.0"  # noqa: S104 - a kubelet asks from outside
_SHUTDOWN_S = 0.5


class ProbeFailed(RuntimeError):  # noqa: N818
    """The probes can't be served as the settings say. The message is one sentence on why."""


class ProbeAnswer(NamedTuple):
    """200 (`good`) or 503, and one sentence on why."""

    good: bool
    detail: str


class ProbeSite:
    """Serves `/healthz`, `/readyz` and `/metrics`; each request calls its function anew."""

    def __init__(
        self,
        healthz: Callable[[], ProbeAnswer],
        readyz: Callable[[], ProbeAnswer],
        metrics: Callable[[MetricsFormat], bytes],
    ) -> None:
        self._healthz, self._readyz, self._text = healthz, readyz, metrics
        self._runner: web.AppRunner | None = None

    async def open(self, port: int) -> int:
        """Listens and returns the port: a free one if `port` is 0. Raises ProbeFailed."""
        # Imported only here: it takes 11 MB and a fifth of a second, for nothing in a process without PROBE_PORT.
        from aiohttp import web

        async def healthz(_request: web.Request) -> web.Response:
            return _response(self._healthz())

        async def readyz(_request: web.Request) -> web.Response:
            return _response(self._readyz())

        async def metrics(request: web.Request) -> web.Response:
            form = format_for(request.headers.get("Accept"))
            return web.Response(body=self._text(form), headers={"Content-Type": form.content_type})

        app = web.Application()
        app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, _HOST, port).start()
        except OSError as error:
            await self._runner.cleanup()
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise ProbeFailed(f"bad setting PROBE_PORT={port}: can't listen there: {reason}") from error
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()


def _response(answer: ProbeAnswer) -> web.Response:
    from aiohttp import web

    status = 200 if answer.good else 503
    return web.json_response({"status": status, "detail": answer.detail}, status=status)
