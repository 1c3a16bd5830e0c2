"""`python -m bench plan`: what an operator asks before deploying: which latency, and how many pod-hours, by which rule.

It simulates: each rule against the same jobs, as Poisson arrivals have them, from an empty cluster on. Beside the rules
it looks for the smallest number of pods that keeps the objective if it never changes: any scaler has to beat that.
"""

from __future__ import annotations

import argparse
from bisect import bisect_left
from typing import TYPE_CHECKING

from bench.common.arguments import positive, run_command
from bench.common.arrivals import LoadError
from bench.reports.table import number, percent, seconds, table, text
from bench.simulation import times
from bench.simulation.command import add_case
from bench.simulation.comparison import Case, Row, compare
from bench.simulation.named_rules import NAMED_RULES
from bench.simulation.times import TimesError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST_WAIT_S = 0.1


def main() -> None:
    """Ends the process: 0, or 2 with a sentence."""
    run_command(_parser(), _run, LoadError, TimesError, ValueError, OSError)


def _run(options: argparse.Namespace) -> None:
    slo_s = options.slo
    case = Case(
        load=options.load or f"constant:{options.rate}",
        process=options.process,
        duration_s=3600 * options.hours,
        startup=options.startup,
        service=options.service,
        # What is left of the latency that is wanted is what a job may wait.
        objective_s=max(_LEAST_WAIT_S, slo_s - times.parse(options.service).mean_s),
        maximum=options.max,
        concurrency=options.concurrency,
    )
    seeds = range(options.seed, options.seed + options.replications)
    found = compare([case], list(NAMED_RULES), seeds)
    if not found[0].jobs:
        raise ValueError(f"{case.load} has no jobs in {case.duration_s:g} s")
    if fixed := smallest_fixed(case, slo_s, seeds):
        found.append(fixed)
    title = f"{case.load}, {case.process}, start-up {case.startup}, service {case.service}: what to expect"
    rows = [
        {
            "rule": row.rule,
            "p50": seconds(row.median.p50_s),
            "p95": seconds(row.median.p95_s),
            f"waits <= {row.objective_s:.3g} s": percent(row.median.within),
            "pod-hours an hour": number(row.pods, 2),
            "most pods": number(row.median.peak),
        }
        for row in found
    ]
    print(f"{text([table(title, rows)])}\n\n{advice(slo_s, found)}")


def smallest_fixed(case: Case, slo_s: float, seeds: Sequence[int]) -> Row | None:
    """The fewest pods, always there, that keep the objective; None if not even the maximum is enough."""

    def tried(pods: int) -> Row:
        return compare([case], [f"fixed-{pods}"], seeds)[0]

    pods = bisect_left(range(case.maximum + 1), True, lo=1, key=lambda pods: keeps(tried(pods), slo_s))
    return tried(pods) if pods <= case.maximum else None


def keeps(row: Row, slo_s: float) -> bool:
    """Whether 95 % of the jobs have that latency at most."""
    return row.median.p95_s <= slo_s


def advice(slo_s: float, found: Sequence[Row]) -> str:
    """The cheapest that keeps the objective, in a sentence."""
    good = [row for row in found if keeps(row, slo_s)]
    if not good:
        return f"None keeps a p95 of {slo_s:g} s: it needs more pods, a faster start, or another objective."
    best = min(good, key=lambda row: row.pods)
    return f"The cheapest with a p95 of at most {slo_s:g} s: {best.rule}, {best.pods:.2f} pod-hours an hour."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench plan",
        description="Which latency and how many pod-hours to expect from each rule, by simulation.",
        epilog="Loads, and start-up and service times that vary: see `python -m bench simulate --help`.",
    )
    load = parser.add_mutually_exclusive_group(required=True)
    load.add_argument("--rate", type=positive, metavar="JOBS/S", help="that arrive, on the average, all the time")
    load.add_argument("--load", metavar="LOAD", help="in its place: a shape or a trace")
    add_case(parser, "poisson", 3)
    parser.add_argument(
        "--slo", type=positive, default=10.0, metavar="S", help="latency of 95 %% of jobs (default: 10)"
    )
    parser.add_argument("--hours", type=positive, default=1.0, metavar="H", help="of load (default: 1)")
    return parser


if __name__ == "__main__":
    main()
