"""The account: what became of all jobs, and whether the faults explain it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from bench.faults.place import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.faults.run import Evidence

# A push may be refused with this: the backlog is full, or the stream away for longer than its user persists.
_BUSY = 503
# Seconds after a kill for which a job may still be handed to the worker: its server sees the closed connection later.
_UNSEEN_S = 0.3
_MOST_SHOWN = 10


class FaultVerdict(NamedTuple):
    """Sentences of the account, and of what is wrong in it."""

    account: list[str]
    wrong: list[str]

    def __str__(self) -> str:
        lines = ["The account:", *(f"  {line}" for line in self.account)]
        if not self.wrong:
            return "\n".join([*lines, "Nothing is lost, duplicated or unexplained."])
        lines += ["Lost, duplicated or unexplained:", *(f"  {line}" for line in self.wrong[:_MOST_SHOWN])]
        return "\n".join([*lines, *([f"  and {more} more"] if (more := len(self.wrong) - _MOST_SHOWN) > 0 else [])])


def verdict(evidence: Evidence) -> FaultVerdict:
    """Of a run that is over."""
    jobs = evidence.generator.account.jobs
    repeated = sum(max(0, job.attempts - 1) for job in jobs if job.attempts is not None)
    explained = sum(fault.attempts for fault in evidence.faults)
    ids = len({job.id for job in jobs if job.id is not None})
    entered = None
    if evidence.after is not None and evidence.after.entered is not None and evidence.before.entered is not None:
        entered = evidence.after.entered - evidence.before.entered
    wrong = [*_wrong_ends(evidence), *_wrong_attempts(evidence, repeated - explained)]
    wrong += [*_wrong_stream(evidence, ids, entered), *evidence.complaints]
    return FaultVerdict(list(_account(evidence, repeated, explained, ids, entered)), wrong)


def _account(evidence: Evidence, repeated: int, explained: int, ids: int, entered: int | None) -> Iterator[str]:
    account = evidence.generator.account
    counts = Counter(fault.kind for fault in evidence.faults)
    killed = [f"{counts[kind]} {kind}{'s' if counts[kind] > 1 else ''}" for kind in KINDS if counts[kind]]
    yield f"killed: {', '.join(killed) or '-'}"
    outcomes = ", ".join(f"{n:,} {outcome}" for outcome, n in account.outcomes.items() if n)
    yield f"{len(account.jobs):,} jobs: {outcomes or 'none'}"
    attempts = [job.attempts for job in account.jobs if job.attempts is not None]
    yield (
        f"{sum(attempts):,} attempts for {len(attempts):,} jobs that ended: {repeated:,} beyond the first, of which "
        f"the kills can explain {explained:,}"
    )
    if account.troubles:
        what = ", ".join(f"{n:,} {what}" for what, n in sorted(account.troubles.items()))
        yield f"requests without an answer that says anything, made again: {what}"
    if not evidence.generator.interrupted:
        yield f"results that could not be fetched again after the load: {account.unchecked:,}"
    if evidence.after is not None:
        yield f"the stream: {evidence.after}"
    if entered is not None:
        yield f"entries made: {entered:,}, for {ids:,} ids that users were given"


def _wrong_ends(evidence: Evidence) -> Iterator[str]:
    generator, account = evidence.generator, evidence.generator.account
    # No kill makes a job fail, end as cancelled, or be refused for good.
    allowed = {"finished", "refused", *(["given up"] if generator.interrupted else [])}
    for outcome, n in account.outcomes.items():
        if n and outcome not in allowed:
            some = [str(job.id) for job in account.jobs if job.outcome == outcome]
            yield f"{n:,} jobs: {outcome}: {', '.join(some[:_MOST_SHOWN])}{', ...' if n > _MOST_SHOWN else ''}"
    for code, n in account.refusals.items():
        if code != _BUSY:
            yield f"{n:,} pushes were {'never answered' if code is None else f'refused with {code}'}"
    if account.strange:
        yield f"{account.strange:,} results did not carry their job's own id and input"
    if without := len(account.jobs) - account.outcomes.total():
        yield f"{without:,} jobs have no outcome"
    for error in generator.errors:
        yield f"a mistake of the load generator: {error!r}"


def _wrong_attempts(evidence: Evidence, unexplained: int) -> Iterator[str]:
    """A job is tried again only for a kill in its life, or just before it."""
    if unexplained > 0:
        yield f"{unexplained:,} attempts more than the kills can have cost"
    costly = [fault for fault in evidence.faults if fault.attempts]
    for job in evidence.generator.account.jobs:
        if job.attempts is None or job.sent_s is None or job.ended_s is None:
            continue
        kills = sum(fault.began_s <= job.ended_s and fault.ended_s + _UNSEEN_S >= job.sent_s for fault in costly)
        if job.attempts - 1 > kills:
            yield f"job {job.id} took {job.attempts} attempts, with {kills} kills in its life that could cost one"


def _wrong_stream(evidence: Evidence, ids: int, entered: int | None) -> Iterator[str]:
    if evidence.after is None:
        yield "the stream can't be read"
    elif not evidence.after.is_empty:
        yield f"the stream is not empty: {evidence.after}"
    # A user that was never answered has no id, though the push may have been accepted.
    unknown = sum(job.id is None for job in evidence.generator.account.jobs)
    if entered is not None and (more := entered - ids - unknown) > 0:
        yield f"{more:,} entries are in the stream's count that no user pushed"
    if entered is not None and entered < ids:
        yield f"{ids - entered:,} ids that users were given never were in the stream"
