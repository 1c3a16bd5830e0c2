"""`python -m bench models`: several models within one budget on the cluster, beside what the simulator says of them."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.common.arguments import positive, run_command, url
from bench.common.arrivals import PROCESSES, LoadError
from bench.common.processes import ROOT
from bench.common.runs import write
from bench.experiments.command import alone
from bench.experiments.kubectl import GATEWAY_DEPLOYMENT, SCALER_DEPLOYMENT, ClusterError, address, current
from bench.experiments.models import ModelsPlan, deployed, prepare, run_models
from bench.load.observer import ObserverError
from bench.reports.table import text
from bench.simulation.measured.models_prediction import comparison, differences, measured, predicted
from bench.simulation.models import loads_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.experiments.models import MeasuredModel
    from workers.scaler.models.models_file import ModelsFile

_EPILOG = """The models are those of the release that `just deploy` has brought, such as `just deploy three-models`.
Before the loads all workers are taken away, and what the scaler has learnt. Loads are as of `bench load`.

Exit code: 0; 1 if a job did not end well, if a model did not go from no pod to some and back, or if its share in time
or its pod-seconds differ by more than --within from the simulator's; 2 if nothing could be run.
"""


def main() -> None:
    """Ends the process with the exit code."""
    errors = (ClusterError, ObserverError, LoadError, OSError)
    run_command(_parser(), lambda options: sys.exit(asyncio.run(_run(options))), *errors)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench models",
        description="Runs a load for each model of the release on a cluster, and the same in the simulator.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--load", nargs="+", required=True, metavar="QUEUE=LOAD", help="one for each model")
    add("--duration", type=positive, default=200.0, metavar="S", help="of the loads (default: %(default)g)")
    add("--process", choices=PROCESSES, default="deterministic", help="of the arrivals (default: %(default)s)")
    add("--seed", type=int, default=1, help="of the arrivals (default: %(default)s)")
    add("--within", type=positive, default=15.0, metavar="PERCENT", help="(default: %(default)g)")
    add("--url", type=url, help="of the service (default: asked of the cluster)")
    add("--output", type=Path, default=ROOT / ".bench" / "models", metavar="FOLDER", help="for the runs, as `bench "
        "report` takes them (default: .bench/models)")  # fmt: skip
    return parser


async def _run(options: argparse.Namespace) -> int:
    kubectl = await current(GATEWAY_DEPLOYMENT, SCALER_DEPLOYMENT)
    api_key = os.environ.get("LEADTIME_API_KEY") or None
    file = await deployed(kubectl)
    loads = loads_of(options.load, file)
    base = options.url or await address(kubectl, api_key)
    plan = ModelsPlan(loads, options.duration, options.process, options.seed, base, api_key)
    with alone(kubectl.context):
        _say(f"{len(file.models)} models on the cluster {kubectl.context}, through {base}")
        await prepare(kubectl, file)
        found = await run_models(kubectl, file, plan, _say)
    options.output.mkdir(parents=True, exist_ok=True)
    for one in found:
        one.run.parameters |= {"startups_s": one.startups_s, "model": one.entry.model_dump()}
        write(one.run, options.output / f"{one.entry.queue}.json.gz")
    return report(found, file, plan, options.within / 100)


def report(found: Sequence[MeasuredModel], file: ModelsFile, plan: ModelsPlan, most: float) -> int:
    """Prints all of it. 1 if a job did not end well, or pods stay, or figures differ by more than that part."""
    said = predicted(found, file, plan)
    print(text([comparison(found, said)]))
    print("most pods of all models at one time: "
          f"{most_pods(found)} of {file.budget.get('pods', float('inf')):g}")  # fmt: skip
    faults = []
    for one in found:
        queue, seen = one.entry.queue, measured(one)
        if bad := [outcome for outcome in one.run.jobs.outcome if outcome != "finished"]:
            faults.append(f"{queue}: {len(bad)} jobs {bad[0]}")
        if not seen.peak or one.gone_s is None:
            faults.append(f"{queue}: its pods have not come and gone")
        for what, part in zip(("share in time", "number of pod-seconds"), differences(seen, said[queue]), strict=True):
            if abs(part) > most:
                faults.append(f"{queue}: the {what} differs by {100 * part:+.1f} % from the simulator's")
    print("\n".join(faults) or "all as the simulator says")
    return int(bool(faults))


def most_pods(found: Sequence[MeasuredModel]) -> int:
    """Of all models together, at one time: looks within the same second are one. A model that was not seen then had as
    many as before.
    """
    looks: dict[int, dict[int, int]] = {}
    for i, one in enumerate(found):
        seen = one.run.samples
        for at_s, *counts in zip(seen.t_s, seen.starting, seen.ready, seen.stopping, strict=True):
            if None not in counts:
                looks.setdefault(round(at_s), {})[i] = sum(count or 0 for count in counts)
    latest: dict[int, int] = {}
    most = 0
    for second in sorted(looks):
        latest |= looks[second]
        most = max(most, sum(latest.values()))
    return most


def _say(sentence: str) -> None:
    print(f"models: {sentence}", file=sys.stderr, flush=True)
