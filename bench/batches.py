"""`python -m bench batches`: how many jobs a second one worker runs with `predict_batch`, and without.

All jobs are there before the worker starts. The time is that from the first job's start to the last one's end, as the
server has recorded them: it has the claims and the finishes in it, and neither pushes nor the start of the worker.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import uuid
from typing import NamedTuple

import orjson
import uvloop

from bench.common import placement, server
from bench.common.arguments import positive, whole
from bench.common.processes import ROOT, BenchError, environment
from workers.settings import StreamSettings
from workers.stream import NewJob, Status, Stream

_PATIENCE_S = 3600.0
_MODEL = "bench.models.batch"


class BatchLoad(NamedTuple):
    """What one run does: jobs, and the seconds of a call and of each input in it."""

    jobs: int
    size: int
    call_s: float
    input_s: float

    @property
    def ideal_rate(self) -> float:
        """Jobs a second if nothing but the model took time."""
        return self.size / (self.call_s + self.size * self.input_s)


async def rate(load: BatchLoad) -> float:
    """Jobs a second of one worker. Raises BenchError if a job has not got its own result."""
    with server.running("valkey") as running:
        settings = StreamSettings(redis_url=running.url, max_backlog=load.jobs)
        stream = Stream(settings)
        await stream.open()
        try:
            job_ids = [uuid.uuid4().hex for _ in range(load.jobs)]
            for number, job_id in enumerate(job_ids):
                await stream.push(NewJob(job_id, orjson.dumps([number]), function="predict"))
            await _run_worker(stream, running.url, load)
            views = [await stream.view(job_id, with_result=True) for job_id in job_ids]
        finally:
            await stream.close()
    for number, view in enumerate(views):
        if view is None or view.status is not Status.FINISHED or view.result != b"%d" % number:
            raise BenchError(f"job {number} has not got its result: {view}")
    started_ms = min(view.started_ms or 0 for view in views if view is not None)
    finished_ms = max(view.finished_ms or 0 for view in views if view is not None)
    return load.jobs / (finished_ms - started_ms) * 1000


async def _run_worker(stream: Stream, url: str, load: BatchLoad) -> None:
    """Returns when no job is left."""
    variables = {
        "REDIS_URL": url,
        "MODEL": f"{_MODEL}:{'InBatches' if load.size > 1 else 'OneByOne'}",
        "MODEL_MAX_BATCH_SIZE": str(load.size),
        "CALL_S": str(load.call_s),
        "INPUT_S": str(load.input_s),
        "LOG_LEVEL": "ERROR",
    }
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers"), env=environment(variables), cwd=ROOT
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while (await stream.counts()).outstanding:
                if worker.returncode is not None:
                    raise BenchError(f"the worker ended with exit code {worker.returncode}")
                await asyncio.sleep(0.1)
    finally:
        if worker.returncode is None:
            worker.terminate()
        await worker.wait()


def table(sizes: list[int], loads: list[BatchLoad], rates: list[float]) -> str:
    """A line for each size."""
    lines = [["inputs in a call", "jobs", "jobs/s", "of what the model allows", "to one by one"]]
    for size, load, found in zip(sizes, loads, rates, strict=True):
        share = f"{found / load.ideal_rate:.1%}"
        lines.append([str(size), str(load.jobs), f"{found:.2f}", share, f"{found / rates[0]:.1f}"])
    return "\n".join("".join(f"{cell:>26}" for cell in line) for line in lines)


def main() -> None:
    """Reads the command line, measures and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench batches", description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=whole(1), default=2000, help="that are there at once (default: %(default)s)")
    parser.add_argument("--size", type=whole(2, 1000), default=20, help="inputs in a call (default: %(default)s)")
    parser.add_argument("--call", type=positive, default=0.5, help="seconds of each call (default: %(default)s)")
    parser.add_argument("--input", type=positive, default=0.0015, help="seconds of each input (default: %(default)s)")
    told = parser.parse_args()
    # As many calls each.
    loads = [
        BatchLoad(max(1, told.jobs // told.size), 1, told.call, told.input),
        BatchLoad(told.jobs, told.size, told.call, told.input),
    ]
    rates = [uvloop.run(rate(load)) for load in loads]
    print(f"{table([1, told.size], loads, rates)}\n\non {placement.machine()}")
