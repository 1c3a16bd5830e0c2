"""`python -m workers`: one worker process that runs the model."""

from __future__ import annotations

import asyncio
import logging
import sys

import uvloop
from arq.worker import func

from workers.host import ModelLoadFailed
from workers.predict import load_model, predict
from workers.settings import WorkerSettings, load
from workers.worker import Worker

logger = logging.getLogger("workers")


async def run(settings: WorkerSettings) -> int:
    """Runs a worker until it is told to stop. Returns the process's exit code."""
    worker = Worker([func(predict)], settings=settings, max_jobs=settings.concurrency, on_startup=load_model)
    try:
        await worker.async_run()
    except ModelLoadFailed as error:
        logger.error("%s", error)
        return 1
    finally:
        await worker.close()
    return 0


def main() -> None:
    """Reads the settings and runs."""
    settings = load(WorkerSettings)
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(run(settings)))


if __name__ == "__main__":
    main()
