"""`python -m workers.scaler`: one scaler in a cluster.

Exit codes: 0 stopped on demand, 1 failed (the log says why), 2 a bad setting.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from workers.scaler.cluster.api import ApiError, KubernetesApi
from workers.scaler.cluster.deployment import DeploymentScaler
from workers.scaler.cluster.election import LeaderElection
from workers.scaler.cluster.keda import CannotListen, KedaScaler
from workers.scaler.cluster.pods import PodObserver
from workers.scaler.loop import Scaler
from workers.scaler.probe import ScalerProbe
from workers.scaler.settings import ScalerSettings
from workers.settings import BAD_SETTING, load
from workers.stream import Stream, bad_server, end
from workers.telemetry.logs import configure_logging
from workers.telemetry.probe_site import ProbeFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

logger = logging.getLogger("workers.scaler")


async def run(settings: ScalerSettings, stopping: asyncio.Event) -> int:
    """Scales until `stopping` is set. Returns the process's exit code."""
    try:
        async with AsyncExitStack() as stack:
            stream = Stream(settings)
            stack.push_async_callback(stream.close)
            api = await stack.enter_async_context(
                KubernetesApi(settings.pod_namespace, settings.deployment, settings.kubernetes_url or None)
            )
            await _serve(settings, api, stream, stack, stopping)
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
    settings: ScalerSettings, api: KubernetesApi, stream: Stream, stack: AsyncExitStack, stopping: asyncio.Event
) -> None:
    identity = f"{settings.pod_name or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
    direct = settings.scaler_mode == "direct"
    pods, election = PodObserver(api), LeaderElection(api, settings.lease_name, identity)
    actuator = DeploymentScaler(api, pods, election) if direct else None
    scaler = Scaler(stream, settings.policy_options, pods, election, actuator)
    # Closed in this order, the last one first: the memory is written while this scaler still leads.
    stack.push_async_callback(election.close)
    stack.push_async_callback(scaler.close)
    runs: dict[str, Callable[[], Coroutine[Any, Any, Any]]]
    runs = {"pods": pods.run, "election": election.run, "scaler": scaler.run, "signals": stopping.wait}
    if settings.probe_port:
        probe = ScalerProbe(scaler.status)
        await probe.open(settings.probe_port)
        stack.push_async_callback(probe.close)
    if not direct:
        keda = KedaScaler(scaler.status)
        stack.push_async_callback(keda.close)
        await keda.open(
            settings.scaler_port, settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file
        )
        runs["keda"] = keda.run
    logger.info("%s scales %s/%s (%s)", identity, api.namespace, api.deployment, settings.scaler_mode)
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
    configure_logging(settings.log_level)
    sys.exit(asyncio.run(_run_until_signal(settings)))


if __name__ == "__main__":
    main()
