"""FastAPI in front of Celery, as the two are put together: an endpoint that calls `apply_async` and answers the id.

Reads HOST, PORT and REDIS_URL, as the gateway does, and one setting more:

SUBSCRIBES  1: Celery's default, whose result backend subscribes to each new job's result in this process;
            0: the job is sent by an application without a result backend (the worker keeps its result all the same)

FastAPI runs the endpoint, a `def`, in a thread. An `async def`, where the event loop waits for Celery, was no faster.
"""

# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

import os

import uvicorn
from celery import Celery
from fastapi import FastAPI

from bench.peers.libraries import common

backend = common.REDIS_URL if os.environ.get("SUBSCRIBES", "1") == "1" else None
celery = Celery("bench", broker=common.REDIS_URL, backend=backend)
app = FastAPI()


@celery.task(name="predict")
def predict(input: str) -> None:  # noqa: A002
    """What the workers run; here only its name counts."""


@app.post("/push", status_code=202)
def push(input: str) -> dict[str, str]:  # noqa: A002
    """What its users write."""
    return {"id": predict.apply_async((input,)).id}


if __name__ == "__main__":
    uvicorn.run(app, **common.SERVE)
