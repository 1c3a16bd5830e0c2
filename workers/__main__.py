"""`python -m workers`: one worker process that runs the model.

Exit codes: 0 stopped on demand, 1 failed, 2 a bad setting, 3 the model can't be loaded. Unless it is 0, the last
line says why.
"""

from __future__ import annotations

from workers.process.init import leave_pid_1

if __name__ == "__main__":
    # Process 1 has no default handlers: a signal during the imports below, which take a second, would be lost.
    leave_pid_1()

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any

import uvloop
from arq.worker import func

from workers.arq.sentry import start_sentry
from workers.files.job_files import BadFileSetting
from workers.kubernetes.deletion_cost import PodSettings, keep_deletion_cost
from workers.model_host.errors import ModelLoadFailed, ModelNotFound
from workers.predict import STOP_S, close_files, load_model, predict
from workers.process.secrets import hide_secrets
from workers.settings import BAD_SETTING, LOAD_FAILED, WorkerSettings, load
from workers.stream import bad_server
from workers.telemetry.logs import configure_logging
from workers.telemetry.probe_site import ProbeFailed
from workers.telemetry.tracing import tracer_or_end
from workers.worker import Worker

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

logger = logging.getLogger("workers")


async def run(settings: WorkerSettings, pod: PodSettings, tracer: Tracer | None = None) -> int:
    """Runs a worker until it is told to stop. Returns the process's exit code."""

    async def start(ctx: dict[Any, Any]) -> None:
        if pod.known:
            worker.watch(keep_deletion_cost(lambda: worker.life.running, pod), "deletion cost")
        await load_model(ctx)

    worker = Worker(
        [func(predict, timeout=settings.job_timeout_s + STOP_S)],
        settings=settings,
        tracer=tracer,
        max_jobs=settings.concurrency,
        job_completion_wait=pod.grace_s(settings),
        on_startup=start,
        on_shutdown=close_files,
    )
    try:
        try:
            await worker.async_run()
        finally:
            await worker.close()
    except (ProbeFailed, BadFileSetting) as error:
        logger.error("%s", error)
        return BAD_SETTING
    except ModelNotFound as error:
        logger.error("bad setting MODEL: %s", error)
        return BAD_SETTING
    except ModelLoadFailed as error:
        logger.error("%s", error)
        return LOAD_FAILED
    except Exception as error:
        if sentence := bad_server(error):
            logger.error("bad setting REDIS_URL: %s", sentence)
            return BAD_SETTING
        logger.critical("the worker can't go on", exc_info=True)
        return 1
    logger.info("stopped")
    return 0


def main() -> None:
    """Reads the settings and runs."""
    settings, pod = load(WorkerSettings), load(PodSettings)
    tracer = tracer_or_end("leadtime-worker")
    hide_secrets()
    configure_logging(settings.log_level, settings.log_format, settings.queue_name)
    start_sentry()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(run(settings, pod, tracer))
    sys.exit(code)


if __name__ == "__main__":
    main()
