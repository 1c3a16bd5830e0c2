"""`python -m bench simulate`: loads against rules, as a table, as JSON, and as files of runs for `bench report`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from bench.common.arguments import positive, run_command, whole
from bench.common.arrivals import PROCESSES, SHAPES, LoadError
from bench.common.runs import write
from bench.reports.table import Table, number, percent, seconds, table, text
from bench.simulation import comparison
from bench.simulation.comparison import Case, Row, compare
from bench.simulation.named_rules import CLAIRVOYANT, NAMED_RULES, TOLD, find
from bench.simulation.times import KINDS, TimesError
from workers.scaler.policy import Options

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = f"""loads, each perhaps with a factor (ramping*3):
  {(chr(10) + "  ").join(SHAPES.values())}
start-up and service times:
  {(chr(10) + "  ").join(KINDS.values())}
rules:
  {CLAIRVOYANT}: a plan that knows all jobs and start-ups in advance: it orders for each job as it comes, and keeps an
    idle pod for as long as a start takes; the costs of the others are held to it
  {(chr(10) + "  ").join(f"{name}: {rule.what}" for name, rule in NAMED_RULES.items())}
  {TOLD}: {find(TOLD).what} in place of its forecast: what better forecasts could gain, and what they could not
  fixed-N: always N pods

Each run starts with no pod, and ends when all jobs are done and the duration is over. A pod costs what it is there,
from its order to its end. Within the objective is a job that waits no longer than that, however long it then runs.
The clairvoyant's plan keeps the objective and may use more pods than --max for it.
"""


def main() -> None:
    """Ends the process: 0, or 2 with a sentence."""
    run_command(_parser(), _run, LoadError, TimesError, ValueError, OSError)


def _run(options: argparse.Namespace) -> None:
    if options.min > options.max:
        raise ValueError(f"at least {options.min} and at most {options.max} pods is not possible")
    cases = [
        Case(
            load=load,
            process=options.process,
            # A trace is as long as it is.
            duration_s=options.duration or (None if load.startswith("trace:") else 1800.0),
            startup=options.startup,
            service=options.service,
            objective_s=options.objective,
            late_cost=options.late_cost,
            minimum=options.min,
            maximum=options.max,
            concurrency=options.concurrency,
            grace_s=options.grace,
        )
        for load in options.load
    ]
    rules = options.rule or [CLAIRVOYANT, *NAMED_RULES]
    if options.concurrency > 1:
        rules = [rule for rule in rules if rule != CLAIRVOYANT]
    if options.explain:
        for case, rule in product(cases, rules):
            _explain(case, rule, options.seed)
        return
    rows = compare(cases, rules, range(options.seed, options.seed + options.replications), options.processes)
    if options.json:
        data = orjson.dumps([row.plain() for row in rows], option=orjson.OPT_INDENT_2)
        sys.stdout.buffer.write(data + b"\n") if options.json == "-" else Path(options.json).write_bytes(data)
    if options.json != "-":
        print(text(tables(rows)))
    if options.runs:
        options.runs.mkdir(parents=True, exist_ok=True)
        for case, rule in product(cases, rules):
            _write(case, rule, options.seed, options.runs)


def tables(rows: Sequence[Row]) -> list[Table]:
    """One for each load, in the rows' order."""
    found = []
    for case in dict.fromkeys(row.case for row in rows):
        mine = [row for row in rows if row.case == case]
        runs = len(mine[0].runs)
        title = (
            f"{case.load}, {case.process}: {mine[0].jobs:,} jobs in {mine[0].duration_s:,.0f} s; "
            f"{'one run' if runs == 1 else f'medians of {runs} runs'}"
        )
        found.append(table(title, [_cells(row) for row in mine]))
    return found


def _cells(row: Row) -> dict[str, str]:
    median = row.median
    return {
        "rule": row.rule,
        "p50": seconds(median.p50_s),
        "p95": seconds(median.p95_s),
        "p99": seconds(median.p99_s),
        f"waits <= {row.objective_s:.3g} s": percent(median.within),
        "pod-seconds": number(median.pod_s),
        "starts": number(median.starts),
        "most pods": number(median.peak),
        "cost": number(median.cost, 2),
    }


def _explain(case: Case, rule: str, seed: int) -> None:
    print(f"{case.load}, {rule}")
    last = ""
    for time_s, reason in comparison.one(case, rule, seed, sample_s=1.0).reasons:
        if reason != last:
            print(f"  {time_s:8.1f} s  {reason}")
        last = reason


def _write(case: Case, rule: str, seed: int, folder: Path) -> None:
    result = comparison.one(case, rule, seed, sample_s=1.0)
    load = Path(case.load.removeprefix("trace:")).name if case.load.startswith("trace:") else case.load
    name = f"{load} {rule}" if case.process == "deterministic" else f"{load} {case.process} {rule}"
    path = folder / f"{re.sub(r'[^a-zA-Z0-9.-]+', '-', name)}.run.gz"
    write(result.run(name, {**asdict(case), "rule": rule, "seed": seed}), path)
    print(path, file=sys.stderr)


def add_case(parser: argparse.ArgumentParser, process: str, replications: int) -> None:
    """The arguments that `simulate` and `plan` share, with their defaults."""
    add = parser.add_argument
    add("--process", choices=PROCESSES, default=process, help="how jobs arrive (default: %(default)s)")
    add("--startup", default="30", metavar="TIMES", help="from a pod's order until it is ready (default: 30)")
    add("--service", default="5", metavar="TIMES", help="of a job, where a trace does not say it (default: 5)")
    add("--max", type=whole(1), default=100, metavar="N", help="pods (default: 100)")
    add("--concurrency", type=whole(1), default=1, metavar="N", help="jobs that a pod runs at once (default: 1)")
    add("--replications", type=whole(1), default=replications, metavar="N", help="of each (default: %(default)s)")
    add("--seed", type=whole(0), default=0, metavar="N", help="of the first; the others follow (default: 0)")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench simulate",
        description="Scalers against loads, in an exact simulation of stream, pods, KEDA and the HPA.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, late, cores = parser.add_argument, Options().late_cost, os.cpu_count() or 1
    add("--load", nargs="+", metavar="LOAD", default=["ramping", "spike", "ramp-steady"], help="default: the old three")
    add("--rule", nargs="+", metavar="RULE", type=_rule, help="default: all")
    add_case(parser, "deterministic", 10)
    add("--duration", type=positive, metavar="S", help="of a load (default: 1800; a trace: all of it)")
    add("--objective", type=positive, metavar="S", help="that a job may wait (default: a mean service time)")
    add("--late-cost", type=positive, metavar="N",
        help=f"price of a later job for the policy, in mean service times of a pod (default: {late:g})")  # fmt: skip
    add("--min", type=whole(0), default=0, metavar="N", help="pods (default: 0)")
    add("--grace", type=positive, default=30.0, metavar="S", help="that a pod has to end its jobs (default: 30)")
    add("--processes", type=whole(1), default=cores, metavar="N", help="that simulate (default: one a core)")
    add("--json", metavar="FILE", help="writes all figures; - is the standard output, in place of the table")
    add("--runs", type=Path, metavar="FOLDER", help="writes the first run of each, for `python -m bench report`")
    add("--explain", action="store_true", help="prints the first run's decisions and their reasons instead")
    return parser


def _rule(name: str) -> str:
    try:
        if name != CLAIRVOYANT:
            find(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return name


if __name__ == "__main__":
    main()
