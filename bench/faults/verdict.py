"""The account: what became of all jobs, and whether the faults explain it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from bench.faults.schedule import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.faults.run import Evidence, Inflicted

# A push may be refused with this: the backlog is full, or the stream away for longer than its user persists.
_BUSY = 503
_MOST_SHOWN = 10


class Verdict(NamedTuple):
    """Sentences of the account, and of what is wrong in it."""

    account: list[str]
    wrong: list[str]

    def __str__(self) -> str:
        lines = [f"  {line}" for line in self.account]
        if not self.wrong:
            return "\n".join(["The account:", *lines, "Nothing is lost, duplicated or unexplained."])
        wrong = [f"  {line}" for line in self.wrong[:_MOST_SHOWN]]
        if more := len(self.wrong) - _MOST_SHOWN:
            wrong += [f"  and {more} more"] if more > 0 else []
        return "\n".join(["The account:", *lines, "Lost, duplicated or unexplained:", *wrong])


def verdict(evidence: Evidence) -> Verdict:
    """Of a run that is over."""
    return Verdict(list(_account(evidence)), list(_wrong(evidence)))


def _account(evidence: Evidence) -> Iterator[str]:
    account = evidence.generator.account
    yield f"killed: {_killed(evidence.inflicted)}"
    outcomes = ", ".join(f"{n:,} {outcome}" for outcome, n in account.outcomes.items() if n)
    yield f"{len(account.jobs):,} jobs: {outcomes or 'none'}"
    yield (
        f"{_attempts(evidence):,} attempts for {_known(evidence):,} jobs that ended: {_repeated(evidence):,} beyond "
        f"the first, of which the kills can explain {_explained(evidence):,}"
    )
    if account.troubles:
        what = ", ".join(f"{n:,} {what}" for what, n in sorted(account.troubles.items()))
        yield f"requests without an answer that says anything, made again: {what}"
    if not evidence.generator.interrupted:
        yield f"results that could not be fetched again after the load: {account.unchecked:,}"
    if evidence.after is not None:
        yield f"the stream: {evidence.after}"
        if (entered := _entered(evidence)) is not None:
            yield f"entries made: {entered:,}, for {len(_ids(evidence)):,} ids that users were given"


def _wrong(evidence: Evidence) -> Iterator[str]:
    yield from _wrong_outcomes(evidence)
    account = evidence.generator.account
    if account.strange:
        yield f"{account.strange:,} results did not carry their job's own id and input"
    if unaccounted := len(account.jobs) - account.outcomes.total():
        yield f"{unaccounted:,} jobs have no outcome"
    for error in evidence.generator.errors:
        yield f"a mistake of the load generator: {error!r}"
    if (unexplained := _repeated(evidence) - _explained(evidence)) > 0:
        yield f"{unexplained:,} attempts more than the kills can have cost"
    yield from _wrong_attempts(evidence)
    yield from _wrong_with_the_stream(evidence)
    yield from evidence.complaints


def _wrong_outcomes(evidence: Evidence) -> Iterator[str]:
    """No kill makes a job fail, end as cancelled, or be refused for good."""
    account = evidence.generator.account
    allowed = {"finished", "refused"} | ({"given up"} if evidence.generator.interrupted else set())
    for outcome, n in account.outcomes.items():
        if n and outcome not in allowed:
            yield f"{n:,} jobs: {outcome}: {_some_ids(evidence, outcome)}"
    for code, n in account.refusals.items():
        if code != _BUSY:
            yield f"{n:,} pushes were {'never answered' if code is None else f'refused with {code}'}"


def _wrong_attempts(evidence: Evidence) -> Iterator[str]:
    """A job is tried again only for a kill in its life."""
    costly = [(began_s, ended_s) for began_s, ended_s, fault in evidence.inflicted if fault.attempts]
    for job in evidence.generator.account.jobs:
        if job.attempts is None or job.attempts == 1 or job.sent_s is None or job.ended_s is None:
            continue
        kills = sum(began_s <= job.ended_s and ended_s >= job.sent_s for began_s, ended_s in costly)
        if job.attempts - 1 > kills:
            yield f"job {job.id} took {job.attempts} attempts, with {kills} kills in its life that could cost one"


def _wrong_with_the_stream(evidence: Evidence) -> Iterator[str]:
    if evidence.after is None:
        yield "the stream can't be read"
        return
    if not evidence.after.is_empty:
        yield f"the stream is not empty: {evidence.after}"
    entered = _entered(evidence)
    if entered is None:
        return
    more = entered - len(_ids(evidence))
    # Whoever was never answered does not know; whoever gave up before the answer, neither.
    unknown = sum(job.id is None for job in evidence.generator.account.jobs)
    if more > unknown:
        yield f"{more - unknown:,} entries are in the stream's count that no user pushed"
    if more < 0:
        yield f"{-more:,} ids that users were given never were in the stream"


def _killed(inflicted: Sequence[Inflicted]) -> str:
    counts = Counter(one.fault.kind for one in inflicted)
    return ", ".join(f"{counts[kind]} {kind}{'s' if counts[kind] > 1 else ''}" for kind in KINDS if counts[kind]) or "-"


def _attempts(evidence: Evidence) -> int:
    return sum(job.attempts or 0 for job in evidence.generator.account.jobs)


def _known(evidence: Evidence) -> int:
    return sum(job.attempts is not None for job in evidence.generator.account.jobs)


def _repeated(evidence: Evidence) -> int:
    return sum(max(0, job.attempts - 1) for job in evidence.generator.account.jobs if job.attempts is not None)


def _explained(evidence: Evidence) -> int:
    return sum(one.fault.attempts for one in evidence.inflicted)


def _ids(evidence: Evidence) -> set[str]:
    return {job.id for job in evidence.generator.account.jobs if job.id is not None}


def _entered(evidence: Evidence) -> int | None:
    if evidence.after is None or evidence.after.entered is None or evidence.before.entered is None:
        return None
    return evidence.after.entered - evidence.before.entered


def _some_ids(evidence: Evidence, outcome: str) -> str:
    ids = [str(job.id) for job in evidence.generator.account.jobs if job.outcome == outcome]
    return ", ".join(ids[:_MOST_SHOWN]) + (", ..." if len(ids) > _MOST_SHOWN else "")
