"""The sentences that a reader of a run's figures has to know; first of all, how late the requests left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.common.runs import LATE_S

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from bench.load.account import Account, UserJob


def lateness(jobs: Sequence[UserJob]) -> str:
    """How late the requests left: what the generator adds to the latencies it measures. Empty if nothing was sent."""
    late_s = np.array([job.sent_s - job.scheduled_s for job in jobs if job.sent_s is not None])
    if not (late_s > LATE_S).any():
        return f"Every request left within {1000 * LATE_S:g} ms of its time." if late_s.size else ""
    return (
        f"{100 * (late_s > LATE_S).mean():.3g} % of the requests left more than {1000 * LATE_S:g} ms late: all are "
        f"{late_s.mean():.3g} s late on average, {late_s.max():.3g} s at most. Latency counts from the scheduled time, "
        "and includes that."
    )


def notes(account: Account, timeout_s: float, unsent: int | None, errors: Sequence[BaseException]) -> list[str]:
    """All that has to be said of a run that is over; `unsent` counts the jobs that an interrupt prevented, if any."""
    server_errors = sum(n for code, n in account.refusals.items() if code is None or code >= 500)
    found: list[tuple[object, str]] = [
        (account.sent, lateness(account.jobs)),
        (unsent is not None, f"The run was interrupted: {unsent} of its jobs were not sent."),
        (errors, f"{len(errors)} users failed by a mistake of the load generator: {errors[:1]!r}"),
        (account.overdue, f"{account.overdue.total():,} jobs count as lost that had not ended {timeout_s:g} s after "
            f"the load's end: {_listed(account.overdue)}."),
        (account.strange, f"{account.strange:,} jobs count as failed whose result did not carry their own id and "
            "input."),
        (server_errors, f"{server_errors:,} pushes were refused with a status code of 500 or more, or never answered: "
            "the service may have accepted some of them all the same."),
        (account.troubles, f"{account.troubles.total():,} requests had no answer that says anything, and were made "
            f"again: {_listed(account.troubles)}."),
        (account.unchecked, f"{account.unchecked:,} results could not be fetched again: whether they have changed is "
            "not known."),
    ]  # fmt: skip
    return [sentence for applies, sentence in found if applies]


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items()))
