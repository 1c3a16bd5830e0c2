"""Sentry, if the program uses it: each job in a scope of its own, as in Sentry's integration for arq.

That integration wraps arq's `Worker.run_job`, which is not called here, and the functions of a worker that
`create_worker` made (`workers.run`). Other failures reach Sentry as lines of the log, by its integration for logging.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.stream import Claimed

logger = logging.getLogger(__name__)


def start_sentry() -> None:
    """Starts Sentry's client if SENTRY_DSN is set; its package is one of the model's."""
    if not os.environ.get("SENTRY_DSN"):
        return
    try:
        import sentry_sdk
    except ImportError:
        logger.warning("SENTRY_DSN is set, but the package sentry-sdk is not installed: Sentry gets no failures")
        return
    sentry_sdk.init()


def failure(error_type: str, message: str) -> dict[str, Any]:
    """The `extra` of a line of the log that tells of a failed job without its exception: Sentry groups by the type."""
    return {"failure": (error_type, message)}


def _with_failure(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    told = getattr(hint.get("log_record"), "failure", None)
    if told is not None and "exception" not in event:
        error_type, message = told
        mechanism = {"type": "arq", "handled": False}
        event["exception"] = {"values": [{"type": error_type, "value": message, "mechanism": mechanism}]}
        event.get("extra", {}).pop("failure", None)
    return event


@contextlib.contextmanager
def _scope(sentry: Any, job: Claimed, queue: str) -> Iterator[None]:
    with sentry.isolation_scope() as scope:
        scope.clear_breadcrumbs()
        scope.set_transaction_name(job.function)
        scope.set_tag("arq_task_id", job.id)
        scope.set_tag("arq_task_retry", job.attempt > 1)
        scope.set_tag("queue", queue)
        scope.set_tag("attempt", job.attempt)
        scope.add_event_processor(_with_failure)
        yield


def job_scope(job: Claimed, queue: str) -> contextlib.AbstractContextManager[None] | None:
    """What is told to Sentry inside names the job. None without Sentry."""
    sentry = sys.modules.get("sentry_sdk")
    return None if sentry is None else _scope(sentry, job, queue)
