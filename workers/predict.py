"""The job that the gateway pushes: one prediction of the model, which lives in a process of its own."""

from __future__ import annotations

import logging
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from arq.worker import Retry

from workers.files.ahead import FilesAhead
from workers.files.fetch_terms import FetchFailed
from workers.files.job_files import TRANSFER_S, open_files, stored_input
from workers.model_host.backoff import LOAD_ATTEMPTS
from workers.model_host.errors import ModelAskedAgain, ModelRaised
from workers.model_host.host import ModelHost
from workers.model_host.options import ModelOptions
from workers.model_host.process.variables import devices_of
from workers.model_host.protocol.job_at_hand import JobAtHand
from workers.objects.errors import StoreUnavailable
from workers.wire.encode import encode_exactly
from workers.wire.result import EncodedResult
from workers.worker.attempt import NotAtHand

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from workers.files.job_files import JobFiles
    from workers.model_host.protocol.description import Description
    from workers.settings import WorkerSettings
    from workers.worker import Worker

logger = logging.getLogger(__name__)

# Above JOB_TIMEOUT_S, for a process that can't be stopped: arq's own timeout would fail the job for good.
STOP_S = 30.0
# A job may have crashed the batches that it was in, or the jobs beside it. From its third attempt on, it is run alone.
MOST_TRIES_TOGETHER = 2


async def predict(ctx: dict[Any, Any], input: Any) -> EncodedResult:  # noqa: A002
    """Runs the model on one JSON value; the result is what `Model.predict` returned, as JSON.

    Raises ModelTimedOut after JOB_TIMEOUT_S, or the job's own timeout if that is shorter, when the process has been
    stopped: as after a crash, the job is tried again if it has attempts left. Raises arq's Retry if the model did, and
    NotAtHand if a file, the input or the store is away.
    """
    host: ModelHost = ctx["model"]
    worker: Worker = ctx["worker"]
    job_id, attempt = ctx["job_id"], ctx["job_try"]
    most_s = worker.settings.job_timeout_s
    timeout_s = min(most_s, ctx.get("timeout_s") or most_s)
    started_s = time.monotonic()
    logger.info("job %s starts", job_id)
    try:
        alone = attempt > MOST_TRIES_TOGETHER
        events = worker.events
        on_event = partial(events.tell, job_id, attempt) if events.are_kept else None
        job = JobAtHand(job_id, attempt, on_event, traceparent=ctx.get("traceparent", ""))
        run: Callable[..., Awaitable[bytes]] = partial(host.predict, timeout_s=timeout_s, alone=alone)
        if worker.spans is not None:
            run = worker.spans.around_model(run)
        files: JobFiles | None = ctx.get("files")
        if files is None:
            if stored_input(job_id, input):
                raise ModelRaised("InputGone", "the input is in the object store, and this worker has no OBJECT_STORE")
            result = EncodedResult.unpacked(await run(encode_exactly(input), job=job))
        else:
            result = await _with_files(files, ctx["files_ahead"], host.files, run, input, job)
    except ModelAskedAgain as error:
        raise Retry(None if error.defer_ms is None else error.defer_ms / 1000) from error
    except (StoreUnavailable, FetchFailed) as error:
        raise NotAtHand from error
    logger.info("job %s answered in %.3g s", job_id, time.monotonic() - started_s)
    return result


async def _with_files(
    files: JobFiles,
    ahead: FilesAhead,
    members: Sequence[str],
    run: Callable[..., Awaitable[bytes]],
    value: Any,
    job: JobAtHand,
) -> EncodedResult:
    """The result of `run`, which gets the input with its files in a folder; the result's files are in the store.

    Inputs and results that are large are there, too.

    Raises StoreUnavailable, and FetchFailed.
    """
    brought = await ahead.taken(job.id) or await files.bring(job.id, value, members)
    try:
        job = job._replace(folder=str(brought.folder), takes_files=brought.has_files)
        result = EncodedResult.unpacked(await run(encode_exactly(brought.value), job=job))
        await files.upload(job.id, brought.folder, result.files)
    finally:
        await files.remove(brought.folder)
    return await files.kept_result(job.id, result)


def model_options(settings: WorkerSettings, on_described: Callable[[Description], None]) -> ModelOptions:
    """What the settings ask of the model and its processes."""
    return ModelOptions(
        settings.model,
        load_timeout_s=settings.model_load_timeout_s,
        memory_limit_bytes=settings.model_memory_limit_bytes,
        max_result_bytes=settings.max_result_bytes,
        stop_grace_s=settings.model_stop_s,
        max_failures=settings.model_max_failures,
        max_jobs=settings.model_max_jobs,
        health_s=settings.model_health_s,
        health_timeout_s=settings.model_health_timeout_s,
        max_batch_size=settings.model_max_batch_size,
        max_batch_wait_s=settings.model_max_batch_wait_s,
        max_concurrency=settings.model_max_concurrency,
        is_forked=settings.model_fork,
        spares=settings.model_spares,
        devices=devices_of(settings.model_devices, os.environ),
        log_format=settings.log_format,
        queue=settings.queue_name,
        on_described=on_described,
    )


async def load_model(ctx: dict[Any, Any]) -> None:
    """Starts the model's processes and returns when one is loaded. Raises ModelLoadFailed and BadFileSetting."""
    worker: Worker = ctx["worker"]
    settings: WorkerSettings = worker.settings
    if files := open_files(settings):
        ctx["files"] = files
    worker.set_capacity(0)
    worker.leave_timeouts_to(predict.__name__)
    told: set[str] = set()

    def tell(description: Description) -> None:
        worker.set_schema(description.schema)
        for warning in description.warnings:
            if warning not in told:
                logger.warning("%s", warning)
        told.update(description.warnings)

    host = ctx["model"] = ModelHost(
        model_options(settings, tell), settings.concurrency, worker.set_capacity, worker.metrics.model_loads.observe
    )
    logger.info("loading the model %s", settings.model)
    if files:
        ahead = ctx["files_ahead"] = FilesAhead(files, predict.__name__, lambda: host.files)
        worker.set_files_ahead(ahead)
    worker.watch(host.run(), "model")
    await host.loaded()
    if host.batch_size > 1:
        logger.info("the model runs up to %d jobs in one call", host.batch_size)
        worker.set_slots(settings.concurrency * host.batch_size, host.batch_size)
    elif host.max_concurrency > 1:
        logger.info("a model process runs up to %d jobs at once", host.max_concurrency)
        worker.set_slots(settings.concurrency * host.max_concurrency, 1)
    transfer_s = 2 * TRANSFER_S if files else 0.0
    if (most := max(host.batch_size, host.max_concurrency)) > 1:
        # At worst its batch and then each job of it, alone, take too long, and the model is loaded anew after each. So
        # do jobs that are run alone, and for which others wait.
        call_s = settings.job_timeout_s + STOP_S + LOAD_ATTEMPTS * settings.model_load_timeout_s
        worker.set_timeout(predict.__name__, (most + 1) * call_s + transfer_s)
    elif files:
        worker.set_timeout(predict.__name__, settings.job_timeout_s + STOP_S + transfer_s)


async def close_files(ctx: dict[Any, Any]) -> None:
    """Removes the files of jobs from the disk: the worker ends."""
    files: JobFiles | None = ctx.get("files")
    if files is not None:
        await ctx["files_ahead"].close()
        files.close()
