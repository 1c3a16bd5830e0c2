"""`python -m bench predict RUN...`: runs of the experiments, and what the simulator says of the same load and rule.

The simulator is told what the run was told, and how long its pods took to start. All times are as at a time scale of 1:
those of a run that was in a hurry are multiplied by its scale.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.common import arrivals
from bench.common.arguments import positive, run_command, whole
from bench.common.arrivals import LoadError
from bench.common.runs import RunError, read
from bench.experiments.matrix import PARAMETER
from bench.reports.summary import summary
from bench.reports.table import Table, table, text
from bench.simulation.cluster import PodSpec
from bench.simulation.comparison import Figures, figures, medians, simulated
from bench.simulation.rules import Brief
from bench.simulation.times import constant, observed
from bench.simulation.work import work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.common.runs import Run
    from bench.simulation.work import Result

# Which rule a configuration of deploy/values/experiments is.
RULES = {
    "streams": "streams",
    "default-like": "lag-pending",
    "fast-up-slow-down": "lag-pending-keep",
    "slow-up-slow-down": "lag-pending-slow",
    "scaler": "leadtime-keda",
    "direct": "leadtime",
}
MOST_WORKERS = 10  # deploy/chart/values.yaml
# Pods' times are known to the second.
LEAST_STARTUP_S = 0.5


def main() -> None:
    """Ends the process: 0, or 2 with a sentence."""
    run_command(_parser(), _run, RunError, LoadError, ValueError, OSError)


def _run(options: argparse.Namespace) -> None:
    runs = [read(path) for path in options.run]
    print(text([predictions(runs, options.replications, options.objective)]))


def predictions(runs: Sequence[Run], replications: int, objective_s: float | None = None) -> Table:
    """Two rows a run. Raises RunError, LoadError."""
    rows = []
    for run in runs:
        setup = _setup(run)
        scale, service_s = setup.get("time_scale", 1.0), setup["service_s"]
        wait_s = service_s if objective_s is None else objective_s
        found = medians([figures(prediction(run, seed), wait_s) for seed in range(replications)])
        seen = summary(run, (wait_s + service_s) / scale)
        p50_s, p95_s, p99_s = (scale * each for each in (seen.p50_s, seen.p95_s, seen.p99_s))
        counts = (seen.within, scale * seen.pod_s, len(run.parameters["startups_s"]), seen.most_pods)
        measured = Figures(seen.jobs, setup["duration_s"], p50_s, p95_s, p99_s, *counts)
        rows.append({"run": run.name, "": "measured", **measured.cells("in time")})
        rows.append({"run": "", "": "simulated", **found.cells("in time")})
    return table("Measured, and as the simulator has it (the median of some phases of the control loops)", rows)


def prediction(run: Run, seed: int) -> Result:
    """One simulation of what a run measured, at a time scale of 1. Raises RunError, LoadError."""
    setup, experiment = _setup(run), run.parameters[PARAMETER]
    rule = RULES.get(experiment["configuration"])
    if rule is None:
        raise RunError(f"{run.name}: no rule of the simulator is such a configuration")
    startups_s = [
        max(LEAST_STARTUP_S, took_s) * setup.get("time_scale", 1.0) for took_s in run.parameters["startups_s"]
    ]
    if not startups_s:
        raise RunError(f"{run.name}: no worker was seen to start")
    duration_s = setup["duration_s"]
    load = arrivals.parse(experiment["load"])
    arrived = arrivals.arrivals(load, duration_s, setup["process"], setup["seed"])
    jobs = work(arrived, constant(setup["service_s"]), duration_s, seed)
    return simulated(rule, seed, jobs, PodSpec(observed(startups_s)), Brief(limits=(0, MOST_WORKERS)))


def _setup(run: Run) -> dict[str, Any]:
    try:
        setup: dict[str, Any] = run.parameters[PARAMETER]["setup"]
    except KeyError:
        raise RunError(f"{run.name} is no run of an experiment") from None
    return setup


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench predict",
        description="Runs of `bench experiments`, and what the simulator says of them.",
    )
    add = parser.add_argument
    add("run", nargs="+", type=Path, metavar="RUN", help="files that `bench experiments` has kept")
    add("--replications", type=whole(1), default=9, metavar="N", help="simulations of each (default: 9)")
    add("--objective", type=positive, metavar="S", help="that a job may wait (default: as long as it takes itself)")
    return parser
