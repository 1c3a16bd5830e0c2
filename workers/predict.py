"""The job that the gateway pushes: one prediction of the model, which lives in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from workers.model_host.errors import ModelTimedOut
from workers.model_host.host import ModelHost
from workers.wire.encode import encode_exactly
from workers.wire.result import EncodedResult

if TYPE_CHECKING:
    from workers.settings import WorkerSettings
    from workers.worker import Worker

logger = logging.getLogger(__name__)

# Above JOB_TIMEOUT_S, for a process that can't be stopped: arq's own timeout would fail the job for good.
STOP_S = 30.0


async def predict(ctx: dict[Any, Any], input: Any) -> EncodedResult:  # noqa: A002
    """Runs the model on one JSON value; the result is what `Model.predict` returned, as JSON.

    Raises ModelTimedOut after JOB_TIMEOUT_S, when the process has been stopped: as after a crash, the job is
    tried again if it has attempts left.
    """
    host: ModelHost = ctx["model"]
    worker: Worker = ctx["worker"]
    timeout_s = worker.settings.job_timeout_s
    started_s = time.monotonic()
    logger.info("job %s: attempt %d starts", ctx["job_id"], ctx["job_try"])
    try:
        async with asyncio.timeout(timeout_s):
            result = await host.predict(encode_exactly(input))
    except TimeoutError:
        raise ModelTimedOut(f"the model took longer than {timeout_s:g} s, and its process was stopped") from None
    logger.info("job %s: answered in %.3g s", ctx["job_id"], time.monotonic() - started_s)
    return EncodedResult.unpacked(result)


async def load_model(ctx: dict[Any, Any]) -> None:
    """Starts the model's processes and returns when one is loaded. Raises ModelLoadFailed."""
    worker: Worker = ctx["worker"]
    settings: WorkerSettings = worker.settings
    worker.set_capacity(0)
    host = ctx["model"] = ModelHost(
        settings.model,
        settings.concurrency,
        load_timeout_s=settings.model_load_timeout_s,
        memory_limit_bytes=settings.model_memory_limit_bytes,
        max_result_bytes=settings.max_result_bytes,
        on_loaded=worker.set_capacity,
        on_load_s=worker.metrics.model_loads.observe,
    )
    logger.info("loading the model %s", settings.model)
    worker.watch(host.run(), "model")
    await host.loaded()
