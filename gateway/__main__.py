"""`python -m gateway`: one gateway process."""

from __future__ import annotations

import contextlib
import gc
import resource
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from gateway.app import create_app, create_context
from gateway.http.connections import Connections
from gateway.http.protocol import LimitedProtocol
from gateway.settings import GatewaySettings
from workers.secrets import hide_secrets
from workers.settings import load
from workers.telemetry.logs import configure_logging

if TYPE_CHECKING:
    from types import FrameType

    from gateway.waiting import Waiters

GRACE_S = 5


class GatewayServer(uvicorn.Server):
    """uvicorn's server. On a signal, it answers the requests that wait for a job's end at once."""

    def __init__(self, config: uvicorn.Config, waiters: Waiters) -> None:
        super().__init__(config)
        self._waiters = waiters

    async def shutdown(self, *args: object, **kwargs: object) -> None:
        """Ends the waits first, because uvicorn waits for the open connections."""
        self._waiters.close()
        await super().shutdown(*args, **kwargs)  # type: ignore[arg-type]


def server_of(settings: GatewaySettings) -> GatewayServer:
    """The gateway's HTTP server."""
    context = create_context(settings)
    connections = Connections(
        settings.head_timeout_s,
        settings.write_timeout_s,
        settings.max_connections,
        context.budget,
        context.metrics.turned_away,
    )
    config = uvicorn.Config(
        create_app(context),
        host=settings.host,
        port=settings.port,
        http=partial(LimitedProtocol, connections=connections),  # type: ignore[arg-type]
        timeout_keep_alive=settings.keep_alive_s,  # type: ignore[arg-type]
        ws="none",
        loop="uvloop",
        log_level=settings.log_level.lower(),
        log_config=None,
        ssl_certfile=settings.tls_cert_file,
        ssl_keyfile=settings.tls_key_file and str(settings.tls_key_file),
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    return GatewayServer(config, context.waiters)


def _exit(_signum: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _allow_many_connections() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _collect_garbage_seldom() -> None:
    # Requests in flight are no garbage. Python's default, a collection per 700 new objects, takes a tenth of the time.
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def main() -> None:
    """Reads the settings and serves until SIGTERM or SIGINT."""
    settings = load(GatewaySettings)
    hide_secrets()
    configure_logging(settings.log_level)
    # After a clean stop, uvicorn raises the signal that stopped it once more.
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    _allow_many_connections()
    server = server_of(settings)
    _collect_garbage_seldom()
    server.run()


if __name__ == "__main__":
    main()
