"""`python -m bench predict RUN...`: runs of the experiments, and what the simulator says of the same load and rule.

The simulator is told what the run was told, and how long its pods took to start. All times are as at a time scale of 1:
those of a run that was in a hurry are multiplied by its scale.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.common import arrivals
from bench.common.arguments import positive, whole
from bench.common.arrivals import LoadError
from bench.common.runs import RunError, read
from bench.experiments.matrix import PARAMETER
from bench.reports.summary import summary
from bench.reports.table import Table, number, percent, seconds, text
from bench.simulation.cluster import Pods
from bench.simulation.comparison import contended
from bench.simulation.simulate import work
from bench.simulation.times import Constant, Observed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.common.runs import Run
    from bench.simulation.simulate import Result

# Which rule a configuration of deploy/experiments is.
RULES = {
    "streams": "streams",
    "default-like": "lag-pending",
    "fast-up-slow-down": "lag-pending-keep",
    "slow-up-slow-down": "lag-pending-slow",
    "scaler": "leadtime-keda",
    "direct": "leadtime",
}
MOST_WORKERS = 10  # deploy/base/scaling.yaml
# Pods' times are known to the second.
_LEAST_STARTUP_S = 0.5


class PredictionError(Exception):
    """Why a run can't be predicted, in one sentence."""


def main() -> None:
    """Ends the process: 0, or 2 with a sentence."""
    parser = _parser()
    options = parser.parse_args()
    try:
        runs = [read(path) for path in options.run]
        print(text([table(runs, options.replications, options.objective)]))
    except (RunError, PredictionError, LoadError, ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def table(runs: Sequence[Run], replications: int, objective_s: float | None = None) -> Table:
    """Two rows a run. Raises PredictionError, LoadError."""
    head = ["run", "", "p50", "p95", "p99", "in time", "pod-seconds", "most pods"]
    rows = [row for run in runs for row in (_measured(run, objective_s), _predicted(run, replications, objective_s))]
    return Table("Measured, and as the simulator has it (the median of some phases of the control loops)", head, rows)


def _measured(run: Run, objective_s: float | None) -> list[str]:
    setup = _setup(run)
    scale, service_s = setup["time_scale"], setup["service_s"]
    found = summary(run, ((service_s if objective_s is None else objective_s) + service_s) / scale)
    times = [seconds(scale * each) for each in (found.p50_s, found.p95_s, found.p99_s)]
    return [run.name, "measured", *times, percent(found.within), number(scale * found.pod_s), number(found.most_pods)]


def _predicted(run: Run, replications: int, objective_s: float | None) -> list[str]:
    setup = _setup(run)
    allowed_s = setup["service_s"] if objective_s is None else objective_s
    results = [prediction(run, seed) for seed in range(replications)]
    times = [
        seconds(statistics.median([one.percentile_s(percentile) for one in results])) for percentile in (50, 95, 99)
    ]
    return [
        "",
        "simulated",
        *times,
        percent(statistics.median([one.within(allowed_s) for one in results])),
        number(statistics.median([one.pod_s for one in results])),
        number(statistics.median([one.peak for one in results])),
    ]


def prediction(run: Run, seed: int) -> Result:
    """One simulation of what a run measured, at a time scale of 1. Raises PredictionError, LoadError."""
    setup, experiment = _setup(run), run.parameters[PARAMETER]
    rule = RULES.get(experiment["configuration"])
    if rule is None:
        raise PredictionError(f"{run.name}: no rule of the simulator is such a configuration")
    startups_s = [max(_LEAST_STARTUP_S, took_s) * setup["time_scale"] for took_s in run.parameters["startups_s"]]
    if not startups_s:
        raise PredictionError(f"{run.name}: no worker was seen to start")
    duration_s = setup["duration_s"]
    jobs = work(
        arrivals.arrivals(arrivals.parse(experiment["load"]), duration_s, setup["process"], setup["seed"]),
        Constant(setup["service_s"]),
        duration_s,
        seed,
    )
    return contended(rule, seed, jobs, Pods(Observed(tuple(startups_s))), (0, MOST_WORKERS))


def _setup(run: Run) -> dict[str, Any]:
    try:
        setup: dict[str, Any] = run.parameters[PARAMETER]["setup"]
    except KeyError:
        raise PredictionError(f"{run.name} is no run of an experiment") from None
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


if __name__ == "__main__":
    main()
