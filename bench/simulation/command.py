"""`python -m bench simulate`: loads against rules, as a table, as JSON, and as files of runs for `bench report`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from bench.common.arguments import positive, run_command, whole
from bench.common.arrivals import PROCESSES, SHAPES, LoadError
from bench.common.runs import write
from bench.reports.table import Table, table, text
from bench.simulation import times
from bench.simulation.comparison import Case, Figures, compare, medians, one
from bench.simulation.models import loads_of, models_table, simulate_models
from bench.simulation.named_rules import CLAIRVOYANT, NAMED_RULES, TOLD, find
from bench.simulation.times import KINDS
from workers.scaler.models.models_file import ModelsFileError, read_models
from workers.scaler.policy import Options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.common.runs import Run

_EPILOG = f"""loads, each perhaps with a factor (ramping*3):
  {(chr(10) + "  ").join(SHAPES.values())}
start-up and service times:
  {(chr(10) + "  ").join(KINDS.values())}
rules:
  {CLAIRVOYANT}: a plan that knows all jobs and start-ups in advance: it orders for each job as it comes, and keeps a
    pod whose next job comes within a start-up time; the costs of the others are held to it
  {(chr(10) + "  ").join(f"{name}: {rule.what}" for name, rule in NAMED_RULES.items())}
  {TOLD}: {find(TOLD).what} in place of its forecast: what better forecasts could gain, and what they could not
  fixed-N: always N pods

Each run starts with no pod, and ends when all jobs are done and the duration is over. A pod costs what it is there,
from its order to its end. Within the objective is a job that waits no longer than that, however long it then runs.
The clairvoyant's plan keeps the objective and may use more pods than --max for it.
"""


def main() -> None:
    """Ends the process: 0, or 2 with a sentence."""
    run_command(_parser(), _run, LoadError, ValueError, OSError)


def _run(options: argparse.Namespace) -> None:
    if options.models:
        _run_models(options)
        return
    if options.minimum > options.maximum:
        raise ValueError(f"at least {options.minimum} and at most {options.maximum} pods is not possible")
    # A trace is as long as it is.
    cases = [
        case_of(options, load=load, duration_s=options.duration or (None if load.startswith("trace:") else 1800.0))
        for load in options.load
    ]
    rules = options.rule or [CLAIRVOYANT, *NAMED_RULES]
    if options.concurrency > 1:
        rules = [rule for rule in rules if rule != CLAIRVOYANT]
    found = compare(cases, rules, range(options.seed, options.seed + options.replications), options.processes)
    if options.json:
        plain = [
            {**asdict(case), "rule": rule, "median": medians(runs), "runs": runs}
            for (case, rule), runs in found.items()
        ]
        data = orjson.dumps(plain, option=orjson.OPT_INDENT_2)
        sys.stdout.buffer.write(data + b"\n") if options.json == "-" else Path(options.json).write_bytes(data)
    if options.json != "-":
        print(text([_table(case, {rule: found[case, rule] for rule in rules}) for case in dict.fromkeys(cases)]))
    if options.runs:
        options.runs.mkdir(parents=True, exist_ok=True)
        for case, rule in found:
            _write(case, rule, options.seed, options.runs)
    if options.plot:
        from bench.reports.plots import picture

        options.plot.write_bytes(picture([_sampled(case, rule, options.seed) for case, rule in found]))


def _run_models(options: argparse.Namespace) -> None:
    for name in ("rule", "json", "plot", "runs"):
        if getattr(options, name):
            raise ValueError(f"--{name} does not go with --models")
    try:
        file = read_models(options.models)
    except ModelsFileError as error:
        raise ValueError(str(error)) from error
    loads = loads_of(options.load, file)
    run = partial(
        simulate_models, file, loads, process=options.process, duration_s=options.duration or 1800.0,
        grace_s=options.grace_s, seed=options.seed,
    )  # fmt: skip
    print(text([models_table(file, run(), run(budget={}))]))


def _table(case: Case, found: Mapping[str, Sequence[Figures]]) -> Table:
    runs = next(iter(found.values()))
    how_many = f"medians of {len(runs)} runs" if len(runs) > 1 else "one run"
    price = f" at {case.standby_price:g} of a pod" if case.standby_price else ""
    standby = f", {case.standby} on standby{price}" if case.standby else ""
    idle = f" after {case.idle_s:,.0f} s without a job" if case.idle_s else ""
    title = (
        f"{case.load}, {case.process}{idle}{standby}: {runs[0].jobs:,} jobs in {runs[0].duration_s:,.0f} s; {how_many}"
    )
    within = f"waits <= {case.objective_s or times.parse(case.service).mean_s:.3g} s"
    return table(title, [{"rule": rule, **medians(each).cells(within)} for rule, each in found.items()])


def _write(case: Case, rule: str, seed: int, folder: Path) -> None:
    run = _sampled(case, rule, seed)
    path = folder / f"{re.sub(r'[^a-zA-Z0-9.-]+', '-', run.name)}.run.gz"
    write(run, path)
    print(path, file=sys.stderr)


def _sampled(case: Case, rule: str, seed: int) -> Run:
    name = f"{case.load} {case.process} {rule}".replace(" deterministic", "")
    return one(case, rule, seed, sample_s=1.0).run(name, {**asdict(case), "rule": rule, "seed": seed})


def add_case(parser: argparse.ArgumentParser, process: str, replications: int) -> None:
    """The arguments that `simulate` and `plan` share, with their defaults."""
    add = parser.add_argument
    add("--process", choices=PROCESSES, default=process, help="how jobs arrive (default: %(default)s)")
    add("--startup", default="30", metavar="TIMES", help="from a pod's order until it is ready (default: 30)")
    add("--service", default="5", metavar="TIMES", help="of a job, if a trace does not say it (default: 5)")
    add("--max", dest="maximum", type=whole(1), default=100, metavar="N", help="pods (default: 100)")
    add("--concurrency", type=whole(1), default=1, metavar="N", help="jobs that a pod runs at once (default: 1)")
    add("--replications", type=whole(1), default=replications, metavar="N", help="of each (default: %(default)s)")
    add("--seed", type=whole(0), default=0, metavar="N", help="of the first; the others follow (default: 0)")


def case_of(options: argparse.Namespace, **more: Any) -> Case:
    """The case that the options describe; those that are named as its fields."""
    known = {name: value for name, value in vars(options).items() if name in Case.__dataclass_fields__}
    return Case(**known | more)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench simulate",
        description="Scalers against loads, in an exact simulation of stream, pods, KEDA and the HPA.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, late, cores = parser.add_argument, Options().late_cost, os.cpu_count() or 1
    add("--load", nargs="+", metavar="LOAD", default=["ramping", "spike", "ramp-steady"], help="default: the old three")
    add("--models", type=Path, metavar="FILE", help="a MODELS_FILE: its models within its budget; loads are QUEUE=LOAD")
    add("--rule", nargs="+", metavar="RULE", help="default: all")
    add_case(parser, "deterministic", 10)
    add("--duration", type=positive, metavar="S", help="of a load (default: 1800; a trace: all of it)")
    add("--idle", dest="idle_s", type=positive, default=0.0, metavar="S", help="without a job, before each load (none)")
    add(
        "--objective",
        dest="objective_s",
        type=positive,
        metavar="S",
        help="that a job may wait (default: a mean service time)",
    )
    add("--late-cost", type=positive, metavar="N",
        help=f"price of a later job for the policy, in mean service times of a pod (default: {late:g})")  # fmt: skip
    add("--min", dest="minimum", type=whole(0), default=0, metavar="N", help="pods (default: 0)")
    add("--standby", type=whole(0), default=0, metavar="N", help="idle pods that the policy keeps ready (default: 0)")
    add("--standby-price", type=positive, default=0.0, metavar="PART",
        help="of one, as a part of a pod: those that are worth it stand by (default: all)")  # fmt: skip
    add("--grace", dest="grace_s", type=positive, default=30.0, metavar="S", help="for a pod's last jobs (default: 30)")
    add("--processes", type=whole(1), default=cores, metavar="N", help="that simulate (default: one a core)")
    add("--json", metavar="FILE", help="writes all figures; - is the standard output, in place of the table")
    add("--plot", type=Path, metavar="FILE", help="draws the first run of each: forecast, replicas, backlog; PNG")
    add("--runs", type=Path, metavar="FOLDER", help="writes the first run of each, for `python -m bench report`")
    return parser
