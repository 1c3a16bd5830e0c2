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
from bench.reports.table import number, table, text
from bench.simulation import times
from bench.simulation.command import add_case, case_of
from bench.simulation.comparison import Case, Figures, compare, medians
from bench.simulation.named_rules import NAMED_RULES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LEAST_WAIT_S = 0.1


def main() -> None:
    """Ends the process: 0, or 2 with a sentence."""
    run_command(_parser(), _run, LoadError, ValueError, OSError)


def _run(options: argparse.Namespace) -> None:
    slo_s = options.slo
    # What is left of the latency that is wanted is what a job may wait.
    wait_s = max(_LEAST_WAIT_S, slo_s - times.parse(options.service).mean_s)
    load = options.load or f"constant:{options.rate}"
    case = case_of(options, load=load, duration_s=3600 * options.hours, objective_s=wait_s)
    seeds = range(options.seed, options.seed + options.replications)
    if not case.work(options.seed).arrivals_s:
        raise ValueError(f"{load} has no jobs in {case.duration_s:g} s")
    found = {rule: medians(runs) for (_, rule), runs in compare([case], list(NAMED_RULES), seeds).items()}
    pods = smallest_fixed(case, slo_s, seeds)
    if pods <= case.maximum:
        found[f"fixed-{pods}"] = _fixed(case, pods, seeds)
    title = f"{case.load}, {case.process}, start-up {case.startup}, service {case.service}: what to expect"
    within = f"waits <= {wait_s:.3g} s"
    rows = [
        {"rule": rule, **each.cells(within), "pod-hours an hour": number(each.pods, 2)} for rule, each in found.items()
    ]
    print(f"{text([table(title, rows)])}\n\n{advice(slo_s, found)}")


def smallest_fixed(case: Case, slo_s: float, seeds: Sequence[int]) -> int:
    """The fewest pods, always there, that keep the objective; one more than the maximum if it takes more."""
    tried = range(case.maximum + 1)
    return bisect_left(tried, True, lo=1, key=lambda pods: _fixed(case, pods, seeds).p95_s <= slo_s)


def _fixed(case: Case, pods: int, seeds: Sequence[int]) -> Figures:
    (runs,) = compare([case], [f"fixed-{pods}"], seeds).values()
    return medians(runs)


def advice(slo_s: float, found: Mapping[str, Figures]) -> str:
    """The cheapest that keeps the objective for 95 % of the jobs, in a sentence."""
    good = {rule: each.pods for rule, each in found.items() if each.p95_s <= slo_s}
    if not good:
        return f"None keeps a p95 of {slo_s:g} s: it needs more pods, a faster start, or another objective."
    best = min(good, key=lambda rule: good[rule])
    return f"The cheapest with a p95 of at most {slo_s:g} s: {best}, {good[best]:.2f} pod-hours an hour."


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
