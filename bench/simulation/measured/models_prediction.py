"""The models of a release as they were measured, beside the simulator's word on the same loads and start-ups."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench.reports.summary import summary
from bench.reports.table import Table, number, table
from bench.simulation.comparison import Figures, figures, medians
from bench.simulation.measured.predict import LEAST_STARTUP_S
from bench.simulation.models import simulate_models
from bench.simulation.times import observed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.experiments.models import MeasuredModel, ModelsPlan
    from workers.scaler.models.models_file import ModelEntry, ModelsFile

# Start-ups are drawn anew in each.
_REPLICATIONS = 9


def predicted(found: Sequence[MeasuredModel], file: ModelsFile, plan: ModelsPlan) -> dict[str, Figures]:
    """By queue, the medians of some simulations, with the start-ups that were seen."""
    startups = {
        one.entry.queue: observed([max(LEAST_STARTUP_S, took_s) for took_s in one.startups_s])
        for one in found
        if one.startups_s
    }
    runs = [
        simulate_models(
            file, plan.loads, process=plan.process, duration_s=plan.duration_s, seed=plan.seed, startups=startups,
            replication=replication,
        )
        for replication in range(_REPLICATIONS)
    ]  # fmt: skip
    return {
        entry.queue: medians([figures(run.results[entry.queue], objective_s(entry)) for run in runs])
        for entry in file.models
    }


def measured(one: MeasuredModel) -> Figures:
    """A job is in time as the simulator counts it: its latency without its own service."""
    seen = summary(one.run, objective_s(one.entry) + one.entry.service_guess_s)
    counts = (seen.within, seen.pod_s, len(one.startups_s), seen.most_pods)
    return Figures(seen.jobs, one.run.duration_s, seen.p50_s, seen.p95_s, seen.p99_s, *counts)


def objective_s(entry: ModelEntry) -> float:
    """How long a job may wait."""
    return entry.objective_s or entry.service_guess_s


def differences(seen: Figures, said: Figures) -> tuple[float, float]:
    """Of the share in time and of the pod-seconds, as parts of what the simulator says."""
    return _part(seen.within, said.within), _part(seen.pod_s, said.pod_s)


def _part(seen: float, said: float) -> float:
    return 0.0 if seen == said else (seen - said) / said if said else math.inf


def comparison(found: Sequence[MeasuredModel], said: Mapping[str, Figures]) -> Table:
    """Three rows a model: measured, simulated, and how far apart they are."""
    rows = []
    for one in found:
        seen, queue = measured(one), one.entry.queue
        gone = "never" if one.gone_s is None else f"{one.gone_s:.0f} s"
        rows.append({"model": queue, "": "measured", "jobs": number(seen.jobs), **_cells(seen), "none again": gone})
        rows.append({"model": "", "": "simulated", "jobs": "", **_cells(said[queue]), "none again": ""})
        in_time, pod_s = (f"{100 * part:+.1f} %" for part in differences(seen, said[queue]))
        empty = dict.fromkeys(rows[-1], "")
        rows.append(empty | {"": "differs by", "in time": in_time, "pod-seconds": pod_s})
    return table("Models, each with its load: measured, and as the simulator has it", rows)


def _cells(of: Figures) -> dict[str, str]:
    cells = of.cells("in time")
    cells.pop("cost")
    return cells
