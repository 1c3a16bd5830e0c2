"""`python -m bench plan`: what an operator asks before deploying: which latency, and how many pod-hours, by which rule.

It simulates: each rule against the same jobs, as Poisson arrivals have them, from an empty cluster on. Where pods are
never taken away the smallest number that keeps the objective is looked for, too: it is what any scaler has to beat.
"""

from __future__ import annotations

import argparse
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.common.arguments import positive, whole
from bench.common.arrivals import PROCESSES, LoadError
from bench.reports.table import Table, number, percent, seconds, text
from bench.simulation import comparison, times
from bench.simulation.comparison import Case
from bench.simulation.contenders import CONTENDERS
from bench.simulation.times import TimesError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST_WAIT_S = 0.1


@dataclass(frozen=True, slots=True)
class Prospect:
    """Medians of a rule's runs."""

    rule: str
    p50_s: float
    p95_s: float
    kept: float  # share of the jobs whose latency is within the objective
    pod_hours: float  # for each hour of load
    most_pods: float
    utilization: float  # share of the pod-seconds in which jobs ran

    def keeps(self, slo_s: float) -> bool:
        """For 95 % of the jobs."""
        return self.p95_s <= slo_s


def main() -> None:
    """Ends the process: 0, or 2 with a sentence."""
    parser = _parser()
    options = parser.parse_args()
    try:
        _run(options)
    except (LoadError, TimesError, ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def _run(options: argparse.Namespace) -> None:
    case = Case(
        load=options.load or f"constant:{options.rate}",
        process=options.process,
        duration_s=3600 * options.hours,
        startup=options.startup,
        service=options.service,
        # What is left of the latency that is wanted is what a job may wait.
        objective_s=max(_LEAST_WAIT_S, options.slo - times.parse(options.service).mean_s),
        maximum=options.max,
        concurrency=options.concurrency,
    )
    seeds = range(options.seed, options.seed + options.replications)
    found = [prospect(case, rule, options.slo, seeds) for rule in CONTENDERS]
    fixed = smallest_fixed(case, options.slo, seeds)
    print(text([table(case, options.slo, [*found, *([fixed] if fixed else [])])]))
    print(f"\n{advice(options.slo, found, fixed)}")


def prospect(case: Case, rule: str, slo_s: float, seeds: Sequence[int]) -> Prospect:
    """Raises LoadError, TimesError."""
    runs = []
    for seed in seeds:
        result = comparison.one(case, rule, seed)
        good = sum(latency_s <= slo_s + 1e-6 for latency_s in result.latencies_s)
        count = len(result.finished_s)
        if not count:
            raise ValueError(f"{case.load} has no jobs in {case.duration_s:g} s")
        busy_s = sum(
            s for s, end_s in zip(result.work.services_s, result.finished_s, strict=True) if not math.isnan(end_s)
        )
        runs.append(
            (
                result.percentile_s(50),
                result.percentile_s(95),
                good / count,
                result.pod_s / result.work.duration_s,
                float(result.peak),
                busy_s / case.concurrency / result.pod_s if result.pod_s else math.nan,
            )
        )
    return Prospect(rule, *(statistics.median(column) for column in zip(*runs, strict=True)))


def smallest_fixed(case: Case, slo_s: float, seeds: Sequence[int]) -> Prospect | None:
    """None if not even the maximum is enough."""
    low, high, best = 0, case.maximum, None
    # So many are enough or not: to be halved.
    while high - low > 0:
        middle = (low + high + 1) // 2
        tried = prospect(case, f"fixed-{middle}", slo_s, seeds)
        if tried.keeps(slo_s):
            best, high = tried, middle - 1
        else:
            low = middle
    return best


def table(case: Case, slo_s: float, found: Sequence[Prospect]) -> Table:
    """One row for each rule."""
    title = f"{case.load}, {case.process}, start-up {case.startup}, service {case.service}: what to expect"
    head = ["rule", "p50", "p95", f"<= {slo_s:g} s", "pod-hours an hour", "most pods", "of it at work"]
    return Table(title, head, [_cells(each) for each in found])


def advice(slo_s: float, found: Sequence[Prospect], fixed: Prospect | None) -> str:
    """The cheapest that keeps the objective, in a sentence."""
    good = [each for each in (*found, *([fixed] if fixed else [])) if each.keeps(slo_s)]
    if not good:
        return f"None keeps a p95 of {slo_s:g} s: it needs more pods, a faster start, or another objective."
    best = min(good, key=lambda each: each.pod_hours)
    return f"The cheapest with a p95 of at most {slo_s:g} s: {best.rule}, {best.pod_hours:.2f} pod-hours an hour."


def _cells(each: Prospect) -> list[str]:
    p50, p95 = (("never" if math.isinf(s) else seconds(s)) for s in (each.p50_s, each.p95_s))
    return [
        each.rule,
        p50,
        p95,
        percent(each.kept),
        f"{each.pod_hours:.2f}",
        number(each.most_pods),
        percent(each.utilization),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench plan",
        description="Which latency and how many pod-hours to expect from each rule, by simulation.",
        epilog="Loads, and start-up and service times that vary: see `python -m bench simulate --help`.",
    )
    add = parser.add_argument
    load = parser.add_mutually_exclusive_group(required=True)
    load.add_argument("--rate", type=positive, metavar="JOBS/S", help="that arrive, on the average, all the time")
    load.add_argument("--load", metavar="LOAD", help="in its place: a shape or a trace")
    add("--startup", default="30", metavar="TIMES", help="from a pod's order until it is ready (default: 30)")
    add("--service", default="5", metavar="TIMES", help="of a job (default: 5)")
    add("--slo", type=positive, default=10.0, metavar="S", help="latency, of 95 %% of the jobs (default: 10)")
    add("--hours", type=positive, default=1.0, metavar="H", help="of load (default: 1)")
    add("--process", choices=PROCESSES, default="poisson", help="how jobs arrive (default: poisson)")
    add("--max", type=whole(1), default=100, metavar="N", help="pods (default: 100)")
    add("--concurrency", type=whole(1), default=1, metavar="N", help="jobs that a pod runs at once (default: 1)")
    add("--replications", type=whole(1), default=3, metavar="N", help="runs of each (default: 3)")
    add("--seed", type=whole(0), default=0, metavar="N", help="of the first (default: 0)")
    return parser


if __name__ == "__main__":
    main()
