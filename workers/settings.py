"""Settings of the stream and the workers, from the environment. Units are in the names."""

from __future__ import annotations

import sys
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class StreamSettings(BaseSettings):
    """Where the stream is and how long things in it live; shared by gateway and workers."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0", description="server that holds the stream (redis://, rediss://, unix://)"
    )
    redis_timeout_s: Positive = Field(1.5, description="how long one command may take before the server counts as down")
    queue_name: str = Field(
        "leadtime", pattern=r"^[A-Za-z0-9_.:-]{1,100}$", description="name of the queue, the hash tag of its keys"
    )
    lease_s: Annotated[float, Field(ge=1, le=86_400)] = Field(
        30.0, description="a job whose worker dies is claimed by another within this time"
    )
    keep_result_s: Annotated[float, Field(ge=1, le=31_536_000)] = Field(
        86_400.0, description="how long an ended job's record and result are kept"
    )
    idempotency_s: Annotated[float, Field(ge=1, le=31_536_000)] = Field(
        86_400.0, description="how long an Idempotency-Key is remembered"
    )
    max_backlog: Annotated[int, Field(ge=1)] = Field(
        100_000, description="jobs waiting, running and deferred above which pushes are refused"
    )
    dead_letter_age_s: Annotated[float, Field(ge=60)] = Field(
        604_800.0, description="how long a failed job's payload is kept"
    )
    max_dead_letters: Annotated[int, Field(ge=1)] = Field(10_000, description="how many failed jobs' payloads are kept")


class WorkerSettings(StreamSettings):
    """One worker process and the model in it."""

    model: str = Field(
        "workers.model:Model", pattern=r"^[\w.]+:\w+$", description="class that does the work, as module:Class"
    )
    concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="jobs run at once by one worker; each has its own model process"
    )
    job_timeout_s: Positive = Field(300.0, description="how long one attempt may take")
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = Field(5, description="attempts after which a job is failed")
    grace_s: NotNegative = Field(25.0, description="how long a worker that was told to stop may finish its jobs")
    model_load_timeout_s: Positive = Field(600.0, description="how long loading the model may take")
    model_memory_limit_bytes: Annotated[int, Field(ge=0)] = Field(
        0, description="address space a model process may use; 0 is no limit"
    )
    max_result_bytes: Annotated[int, Field(ge=1)] = Field(
        16_777_216, description="size of a result above which its job is failed"
    )
    ready_file: str = Field("", description="file that exists while the worker is ready; empty is none")
    probe_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        0, description="port of /healthz, /readyz and /metrics of a worker; 0 is none"
    )
    log_level: str = Field(
        "INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$", description="least severe log line that is written"
    )


S = TypeVar("S", bound=BaseSettings)


def load(settings: type[S]) -> S:
    """Reads settings from the environment, or ends the process (exit code 2) with one sentence on what is wrong."""
    try:
        return settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        what = first["msg"].removeprefix("Value error, ")
        sys.exit(
            f"bad setting {name}={first['input']!r}: {what[:1].lower()}{what[1:]}" if name else f"bad settings: {what}"
        )
