"""`python -m bench simulate`: loads against rules, as a table, as JSON, and as files of runs for `bench report`."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from bench.common.arguments import positive, whole
from bench.common.arrivals import PROCESSES, SHAPES, LoadError
from bench.common.runs import write
from bench.reports.table import Table, number, percent, seconds, text
from bench.simulation import comparison
from bench.simulation.comparison import Case, Row, compare
from bench.simulation.contenders import CLAIRVOYANT, CONTENDERS, PLAIN, PLANS, TOLD, find
from bench.simulation.times import KINDS, TimesError
from workers.scaler.policy import Options

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = f"""loads, each perhaps with a factor (ramping*3):
  {(chr(10) + "  ").join(SHAPES.values())}
start-up and service times:
  {(chr(10) + "  ").join(KINDS.values())}
rules:
  {CLAIRVOYANT}: a plan that knows all jobs and start-ups in advance; the costs of the others are held to it
  {PLAIN}: the same for somebody who looks at one job after the other; a plan that is not searched for
  {(chr(10) + "  ").join(f"{name}: {contender.what}" for name, contender in CONTENDERS.items())}
  {TOLD}: {find(TOLD).what} in place of its forecast: what better forecasts could gain, and what they could not
  fixed-N: always N pods

Each run starts with no pod, and ends when all jobs are done and the duration is over. A pod costs what it is there,
from its order to its end. Within the objective is a job that waits no longer than that, however long it then runs.
The clairvoyant's plan keeps the objective and may use more pods than --max for it.
"""


_CATCH_UP = (
    "that the clairvoyant plan may take, once a pod can be ready, until all jobs are within the objective (default: "
    "none, which needs many pods at once, the more the longer a start takes)"
)


def main() -> None:
    """Ends the process: 0, or 2 with a sentence."""
    parser = _parser()
    options = parser.parse_args()
    try:
        _run(options)
    except (LoadError, TimesError, ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def _run(options: argparse.Namespace) -> None:
    cases = [
        Case(
            load=load,
            process=options.process,
            duration_s=_duration_s(load, options.duration),
            startup=options.startup,
            service=options.service,
            objective_s=options.objective,
            late_cost=options.late_cost,
            minimum=options.min,
            maximum=options.max,
            concurrency=options.concurrency,
            grace_s=options.grace,
            catch_up_s=options.catch_up,
        )
        for load in options.load
    ]
    if options.min > options.max:
        raise ValueError(f"at least {options.min} and at most {options.max} pods is not possible")
    rules = options.rule or [*PLANS, *CONTENDERS]
    if options.concurrency > 1:
        rules = [rule for rule in rules if rule not in PLANS]
    seeds = range(options.seed, options.seed + options.replications)
    if options.explain:
        _explain(cases, rules, options.seed, options.plan_rounds)
        return
    rows = compare(cases, rules, seeds, options.plan_rounds, options.processes)
    if options.json:
        data = orjson.dumps([row.plain() for row in rows], option=orjson.OPT_INDENT_2)
        sys.stdout.buffer.write(data + b"\n") if options.json == "-" else Path(options.json).write_bytes(data)
    if options.json != "-":
        print(text(tables(rows)))
    if options.runs:
        _write(cases, rules, options)


def tables(rows: Sequence[Row]) -> list[Table]:
    """One for each load, in the rows' order."""
    found = []
    for case in dict.fromkeys(row.case for row in rows):
        mine = [row for row in rows if row.case == case]
        first = mine[0]
        # The clairvoyant's plan is one where only phases differ.
        runs = max(len(row.runs) for row in mine)
        title = (
            f"{case.load}, {case.process}: {first.jobs:,} jobs in {first.duration_s:,.0f} s; "
            f"{'one run' if runs == 1 else f'medians of {runs} runs'}"
        )
        head = [
            "rule",
            "p50",
            "p95",
            "p99",
            f"waits <= {first.objective_s:.3g} s",
            "pod-seconds",
            "starts",
            "most pods",
        ]
        found.append(Table(title, [*head, "cost"], [_cells(row) for row in mine]))
    return found


def _cells(row: Row) -> list[str]:
    median = row.median
    shown = [_seconds(each) for each in (median.p50_s, median.p95_s, median.p99_s)]
    counts = [number(median.pod_s), number(median.starts), number(median.peak)]
    return [row.rule, *shown, percent(median.within), *counts, "" if math.isnan(median.cost) else f"{median.cost:.2f}"]


def _seconds(value: float) -> str:
    return "never" if math.isinf(value) else seconds(value)


def _duration_s(load: str, given: float | None) -> float | None:
    """A trace is as long as it is."""
    return given if given is not None or load.startswith("trace:") else 1800.0


def _explain(cases: Sequence[Case], rules: Sequence[str], seed: int, rounds: int | None) -> None:
    for case in cases:
        for rule in rules:
            print(f"{case.load}, {rule}")
            result = comparison.one(case, rule, seed, sample_s=1.0, rounds=rounds)
            last = ""
            for time_s, reason in result.reasons:
                if reason != last:
                    print(f"  {time_s:8.1f} s  {reason}")
                last = reason


def _write(cases: Sequence[Case], rules: Sequence[str], options: argparse.Namespace) -> None:
    """The first replication of each."""
    folder: Path = options.runs
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        for rule in rules:
            result = comparison.one(case, rule, options.seed, sample_s=1.0, rounds=options.plan_rounds)
            load = Path(case.load.removeprefix("trace:")).name if case.load.startswith("trace:") else case.load
            name = f"{load} {rule}" if case.process == "deterministic" else f"{load} {case.process} {rule}"
            path = folder / f"{re.sub(r'[^a-zA-Z0-9.-]+', '-', name)}.run.gz"
            write(result.run(name, {**asdict(case), "rule": rule, "seed": options.seed}), path)
            print(path, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench simulate",
        description="Scalers against loads, in an exact simulation of stream, pods, KEDA and the HPA.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--load", nargs="+", metavar="LOAD", default=["ramping", "spike", "ramp-steady"], help="default: the old three")
    add("--rule", nargs="+", metavar="RULE", type=_rule, help="default: all")
    add("--process", choices=PROCESSES, default="deterministic", help="how jobs arrive (default: deterministic)")
    add("--duration", type=positive, metavar="S", help="of a load (default: 1800; a trace: all of it)")
    add("--startup", default="30", metavar="TIMES", help="from a pod's order until it is ready (default: 30)")
    add("--service", default="5", metavar="TIMES", help="of a job, where a trace does not say it (default: 5)")
    add("--objective", type=positive, metavar="S", help="that a job may wait (default: a mean service time)")
    add(
        "--late-cost",
        type=positive,
        metavar="N",
        help=f"price of a later job for the policy, in mean service times of a pod (default: {Options().late_cost:g})",
    )
    add("--min", type=whole(0), default=0, metavar="N", help="pods (default: 0)")
    add("--max", type=whole(1), default=100, metavar="N", help="pods (default: 100)")
    add("--concurrency", type=whole(1), default=1, metavar="N", help="jobs that a pod runs at once (default: 1)")
    add("--grace", type=positive, default=30.0, metavar="S", help="that a pod has to end its jobs (default: 30)")
    add(
        "--replications",
        type=whole(1),
        default=10,
        metavar="N",
        help="runs of each, with seeds one by one (default: 10)",
    )
    add("--seed", type=whole(0), default=0, metavar="N", help="of the first (default: 0)")
    add("--catch-up", type=positive, default=0.0, metavar="S", help=_CATCH_UP)
    add("--plan-rounds", type=whole(0), metavar="N", help="attempts to better the plan (default: for some seconds)")
    add(
        "--processes",
        type=whole(1),
        default=os.cpu_count() or 1,
        metavar="N",
        help="that simulate (default: one a core)",
    )
    add("--json", metavar="FILE", help="writes all figures; - is the standard output, in place of the table")
    add("--runs", type=Path, metavar="FOLDER", help="writes the first run of each, for `python -m bench report`")
    add("--explain", action="store_true", help="prints the first run's decisions and their reasons instead")
    return parser


def _rule(name: str) -> str:
    try:
        if name not in PLANS:
            find(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return name


if __name__ == "__main__":
    main()
