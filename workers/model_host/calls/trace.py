"""The trace of the job that runs, for a model that makes spans of its own with OpenTelemetry."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context

    from workers.job import Job


def enter_trace(job: Job) -> Token[Context] | None:
    """Has spans that are started here be children of the job's, until the token is handed to `leave_trace`.

    None without OpenTelemetry in this process, or without a trace.
    """
    if "opentelemetry.context" not in sys.modules or not (traceparent := job.traceparent):
        return None
    from opentelemetry.context import attach

    from workers.telemetry.tracing import context_of

    return attach(context_of(traceparent))


def leave_trace(token: Token[Context] | None) -> None:
    """Takes back what `enter_trace` did."""
    if token is not None:
        from opentelemetry.context import detach

        detach(token)
