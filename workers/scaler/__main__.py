"""`python -m workers.scaler`: one scaler in a cluster.

Exit codes: 0 stopped on demand, 1 failed (the log says why), 2 a bad setting.
"""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    # Process 1 has no default handlers: a signal during the imports below, which take a second, would be lost.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

import asyncio
import logging
import socket
import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from workers.scaler.cluster.api import ApiError, KubernetesApi
from workers.scaler.cluster.election import LeaderElection
from workers.scaler.cluster.keda import CannotListen, KedaScaler
from workers.scaler.models.assembly import assemble
from workers.scaler.models.models_file import ModelsFileError, read_models
from workers.scaler.reporting.probe import ScalerProbe
from workers.scaler.settings import ScalerSettings
from workers.settings import BAD_SETTING, load
from workers.stream import bad_server, end
from workers.telemetry.logs import configure_logging
from workers.telemetry.probe_site import ProbeFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from workers.scaler.models.models_file import ModelsFile

logger = logging.getLogger("workers.scaler")


async def run(settings: ScalerSettings, stopping: asyncio.Event) -> int:
    """Scales until `stopping` is set. Returns the process's exit code."""
    try:
        async with AsyncExitStack() as stack:
            file = read_models(settings.models_file) if settings.models_file else None
            await _serve(settings, file, stack, stopping)
    except ModelsFileError as error:
        logger.error("bad setting MODELS_FILE: %s", error)
        return BAD_SETTING
    except (CannotListen, ProbeFailed) as error:
        logger.error("%s", error)
        return BAD_SETTING
    except ApiError as error:
        logger.error("%s", error)
        return 1
    except Exception as error:
        if sentence := bad_server(error):
            logger.error("bad setting REDIS_URL: %s", sentence)
            return BAD_SETTING
        logger.critical("the scaler can't go on", exc_info=True)
        return 1
    logger.info("stopped")
    return 0


async def _serve(
    settings: ScalerSettings, file: ModelsFile | None, stack: AsyncExitStack, stopping: asyncio.Event
) -> None:
    identity = f"{settings.pod_name or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
    api = await stack.enter_async_context(
        KubernetesApi(settings.pod_namespace, settings.deployment, settings.kubernetes_url or None)
    )
    election = LeaderElection(api, settings.lease_name, identity)
    models = await assemble(settings, file, election, stack)
    # Closed in this order, the last one first: the memory is written while this scaler still leads.
    stack.push_async_callback(election.close)
    stack.push_async_callback(models.close)
    runs: dict[str, Callable[[], Coroutine[Any, Any, Any]]]
    runs = {**models.runs, "election": election.run, "signals": stopping.wait}
    if settings.probe_port:
        probe = ScalerProbe(models.statuses)
        await probe.open(settings.probe_port)
        stack.push_async_callback(probe.close)
    if models.asked:
        keda = KedaScaler(models.asked)
        stack.push_async_callback(keda.close)
        await keda.open(
            settings.scaler_port, settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file
        )
        runs["keda"] = keda.run
    logger.info("%s runs with %d models", identity, len(models.parts))
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(run_it(), name=name) for name, run_it in runs.items()]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        await end(*tasks)


async def _run_until_signal(settings: ScalerSettings) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return await run(settings, stopping)


def main() -> None:
    """Reads the settings and runs."""
    settings = load(ScalerSettings)
    configure_logging(settings.log_level, settings.log_format, settings.queue_name)
    sys.exit(asyncio.run(_run_until_signal(settings)))


if __name__ == "__main__":
    main()
