"""Sentry, if the program uses it: each job in a scope of its own, as in Sentry's integration for arq.

That integration wraps arq's `Worker.run_job`, which is not called here, and the functions of a worker that
`create_worker` made (`workers.run`).
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.stream import Claimed


@contextlib.contextmanager
def _scope(sentry: Any, job: Claimed) -> Iterator[None]:
    with sentry.isolation_scope() as scope:
        scope.clear_breadcrumbs()
        scope.set_transaction_name(job.function)
        scope.set_tag("arq_task_id", job.id)
        scope.set_tag("arq_task_retry", job.attempt > 1)
        yield


def job_scope(job: Claimed) -> contextlib.AbstractContextManager[None] | None:
    """What is told to Sentry inside names the job. None without Sentry."""
    sentry = sys.modules.get("sentry_sdk")
    return None if sentry is None else _scope(sentry, job)
