"""`python -m gateway`: one gateway process.

Exit codes: 0 stopped on demand, 1 failed, 2 a bad setting. Unless it is 0, the last line says why.
"""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    # Process 1 has no default handlers: a signal during the imports below, which take a second, would be lost.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

import asyncio
import contextlib
import ctypes
import gc
import logging
import resource
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from gateway.app import create_app, create_queues
from gateway.http.connection.connections import Connections
from gateway.http.connection.protocol import LimitedProtocol
from gateway.settings import GatewaySettings
from workers.objects.errors import StoreUnavailable
from workers.process.secrets import hide_secrets
from workers.settings import BAD_SETTING, end_with_bad_setting, load
from workers.stream import bad_server
from workers.telemetry.logs import configure_logging
from workers.telemetry.tracing import tracer_or_end

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from opentelemetry.trace import Tracer

    from gateway.waits.waiting import Waiters

logger = logging.getLogger("gateway")

GRACE_S = 5
_M_MMAP_THRESHOLD = -3  # mallopt(3)
# Measured with 300 bodies of 1 MiB that stall (tests/faults/hoarders.py): the process has 69 MB when they are gone, and
# 118 MB with 128 KiB, glibc's default.
_MMAP_BYTES = 32_768


class GatewayServer(uvicorn.Server):
    """uvicorn's server. On a signal, it answers the requests that wait for a job's end at once.

    `failure` is why it has stopped, if nobody asked for it. `port` is the one that it listens on, or tried to, last.
    """

    def __init__(self, config: uvicorn.Config, waiters: Sequence[Waiters], metrics_port: int) -> None:
        super().__init__(config)
        self._waiters = waiters
        self._metrics_port = metrics_port
        self.port = config.port
        self.failure: BaseException | None = None

    def fail(self, task: asyncio.Task[None]) -> None:
        """Stops, as a side task has ended, unless that was cancelled."""
        if not task.cancelled():
            self.failure = task.exception() or RuntimeError(f"the gateway's {task.get_name()} task ended")
            self.should_exit = True

    async def startup(self, *args: Any, **kwargs: Any) -> None:
        """Listens on the second port, too, if there is one."""
        await super().startup(*args, **kwargs)
        if not self._metrics_port:
            return
        self.port = self._metrics_port
        config = self.config
        protocol = partial(
            cast("Callable[..., asyncio.Protocol]", config.http_protocol_class),
            config=config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        try:
            self.servers.append(
                await asyncio.get_running_loop().create_server(
                    protocol, config.host, self.port, ssl=config.ssl, backlog=config.backlog
                )
            )
        except OSError:
            await self.lifespan.shutdown()
            sys.exit(uvicorn.config.STARTUP_FAILURE)

    async def shutdown(self, *args: object, **kwargs: object) -> None:
        """Ends the waits first, because uvicorn waits for the open connections."""
        for waiters in self._waiters:
            waiters.close()
        await super().shutdown(*args, **kwargs)  # type: ignore[arg-type]


def server_of(settings: GatewaySettings, tracer: Tracer | None = None) -> GatewayServer:
    """The gateway's HTTP server."""
    queues = create_queues(settings, tracer)
    first = queues.first
    connections = Connections(
        settings.head_timeout_s,
        settings.write_timeout_s,
        settings.max_connections,
        first.budget,
        first.metrics.all.turned_away,
        settings.cors_origin_list(),
    )

    def on_side_task_end(task: asyncio.Task[None]) -> None:
        server.fail(task)

    config = uvicorn.Config(
        create_app(queues, on_side_task_end, tracer),
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
    server = GatewayServer(config, [context.waiters for context in queues.all], settings.metrics_port)
    return server


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


def _give_memory_back() -> None:
    # Pieces of this size go back to the system when they are freed. Smaller ones stay, in a heap full of holes. Unless
    # it is set, glibc raises the threshold to the largest piece that was freed.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)


def _exit_code(failure: BaseException | None) -> int:
    """Logs why the gateway has ended though nobody asked for it; the exit code that goes with it."""
    if failure is not None and (sentence := bad_server(failure)):
        logger.error("bad setting REDIS_URL: %s", sentence)
        return BAD_SETTING
    logger.critical("the gateway can't go on", exc_info=failure)
    return 1


def main() -> None:
    """Reads the settings and serves until SIGTERM or SIGINT."""
    settings = load(GatewaySettings)
    tracer = tracer_or_end("leadtime-gateway")
    hide_secrets()
    configure_logging(settings.log_level, settings.log_format, settings.queue_list()[0])
    # After a clean stop, uvicorn raises the signal that stopped it once more.
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    _allow_many_connections()
    _give_memory_back()
    try:
        server = server_of(settings, tracer)
    except StoreUnavailable as error:
        end_with_bad_setting(f"bad setting OBJECT_STORE: {error}")
    _collect_garbage_seldom()
    try:
        server.run()
    except SystemExit as end:
        if end.code:  # uvicorn has logged the operating system's error, and other lines after it
            logger.error("the gateway can't listen on %s, port %d", settings.host, server.port)
            sys.exit(1)
        raise
    sys.exit(_exit_code(server.failure))


if __name__ == "__main__":
    main()
