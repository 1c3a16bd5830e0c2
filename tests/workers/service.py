"""Workers for tests: in the test's own loop, or as processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from typing import TYPE_CHECKING, Any

import orjson

from tests.processes import LoggedProcess, module
from workers.stream import NO_OPTIONS, JobOptions, JobView, NewJob, Status, Stream
from workers.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from workers.settings import WorkerSettings

PATIENCE_S = 30.0


@contextlib.asynccontextmanager
async def running(settings: WorkerSettings, functions: Sequence[Any], **kwargs: Any) -> AsyncIterator[Worker]:
    """A worker that runs beside the test, and is stopped and closed after it."""
    worker = Worker(functions, settings=settings, handle_signals=False, **kwargs)
    task = asyncio.create_task(worker.async_run())
    try:
        yield worker
    finally:
        worker.handle_sig(signal.SIGTERM)
        try:
            await task
        finally:
            await worker.close()


async def run_burst(settings: WorkerSettings, functions: Sequence[Any], **kwargs: Any) -> Worker:
    """A worker that has run until no job was left."""
    worker = Worker(functions, settings=settings, handle_signals=False, burst=True, **kwargs)
    async with asyncio.timeout(PATIENCE_S):
        try:
            await worker.async_run()
        finally:
            await worker.close()
    return worker


async def push(
    stream: Stream, function: str, args: bytes = b"[]", kwargs: bytes = b"", options: JobOptions = NO_OPTIONS
) -> str:
    """The id of a new job."""
    pushed = await stream.push(NewJob(uuid.uuid4().hex, args, function=function, kwargs=kwargs, options=options))
    assert pushed.outcome == "accepted"
    return pushed.id


async def until_ended(stream: Stream, job_id: str) -> JobView:
    """The job's record, once it has ended."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            view = await stream.view(job_id, with_result=True)
            if view is not None and view.status.ended:
                return view
            await asyncio.sleep(0.02)


async def pushed(stream: Stream, *scripts: Any) -> list[str]:
    """The ids of new jobs of the model, whose inputs are these."""
    return [await push(stream, "predict", orjson.dumps([script])) for script in scripts]


async def ended(stream: Stream, job_ids: list[str]) -> list[JobView]:
    """The jobs' records, once they have ended."""
    return [await until_ended(stream, job_id) for job_id in job_ids]


def how(view: JobView) -> tuple[Any, int]:
    """A job's result, or the type of its error, and how many attempts it had."""
    if view.status is Status.FINISHED:
        return orjson.loads(view.result or b""), view.attempts
    assert view.error is not None
    return view.error["type"], view.attempts


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Returns once the condition, which may be a coroutine function, holds."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)


class WorkerProcess(LoggedProcess):
    """`python -m workers`, with a model that loads and answers at once. Other settings by name."""

    def __init__(self, folder: Path, settings: WorkerSettings, **environment: str) -> None:
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "READY_FILE"},
            "REDIS_URL": settings.redis_url,
            "QUEUE_NAME": settings.queue_name,
            "REDIS_TIMEOUT_S": "0.5",
            "LEASE_S": str(settings.lease_s),
            "GRACE_S": "10",
            "MODEL_SETUP_S": "0",
            "MODEL_PREDICT_S": "0",
            **environment,
        }
        super().__init__(module("workers"), self.environment, folder / f"worker-{uuid.uuid4().hex[:6]}.log")
