"""The sentences that a reader of a run's figures has to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.load.lateness import lateness

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping

    from bench.load.account import Account
    from bench.load.generator import Generator


def notes(generator: Generator, clock_offset_s: float, cpu_share: float) -> list[str]:
    """Of a run that is over; `cpu_share` is of one core."""
    return [
        *_of_the_generator(generator, cpu_share),
        *_of_the_account(generator.account, generator.plan.timeout_s),
        *_of_the_second_look(generator),
        *_of_the_clock(clock_offset_s),
    ]


def _of_the_generator(generator: Generator, cpu_share: float) -> Iterator[str]:
    late = lateness(generator.account.jobs)
    if late is not None:
        yield late.sentence
    yield f"The generator used {cpu_share:.0%} of one core."
    if generator.interrupted:
        unsent = len(generator.arrivals) - generator.account.sent
        yield f"The run was interrupted: {unsent:,} of {len(generator.arrivals):,} jobs were not sent."
    if generator.errors:
        yield f"{len(generator.errors)} users failed by a mistake of the load generator: {generator.errors[0]!r}"


def _of_the_account(account: Account, timeout_s: float) -> Iterator[str]:
    if account.overdue:
        yield (
            f"{account.overdue.total():,} jobs count as lost that had not ended {timeout_s:g} s after the load's end: "
            f"{_listed(account.overdue)}."
        )
    if account.strange:
        yield f"{account.strange:,} jobs count as failed whose result did not carry their own id and input."
    if servers_fault := sum(n for code, n in account.refusals.items() if code is None or code >= 500):
        yield (
            f"{servers_fault:,} pushes were refused with a status code of 500 or more, or never answered: "
            "the service may have accepted some of them all the same."
        )
    if account.troubles:
        yield (
            f"{account.troubles.total():,} requests had no answer that says anything, and were made again: "
            f"{_listed(account.troubles)}."
        )


def _of_the_second_look(generator: Generator) -> Iterator[str]:
    look = generator.second_look
    if look is None:
        return
    if unlooked := len(look.jobs) - look.done + look.unanswered:
        yield f"{unlooked:,} results could not be looked at again: whether they have changed is not known."


def _of_the_clock(offset_s: float) -> Iterator[str]:
    if offset_s:
        way = "ahead" if offset_s > 0 else "behind"
        yield f"The service's clock was {abs(offset_s):.3f} s {way}: started and finished are corrected by that."


def _listed(counts: Counter[str] | Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items()))
