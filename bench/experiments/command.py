"""`python -m bench experiments`: loads x scaling configurations on the cluster of kubectl's current context.

Cells that are done are kept and not run again; what was interrupted is run anew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.common.arguments import positive, url
from bench.common.arrivals import PROCESSES, LoadError
from bench.common.processes import ROOT
from bench.experiments.alone import alone
from bench.experiments.cell import Runner, make_generator
from bench.experiments.configurations import FOLDER, ConfigurationError, chosen, find
from bench.experiments.kubectl import ClusterError, address, current
from bench.experiments.matrix import Cell, Results, Setup, cells, only, run_all
from bench.experiments.stage import Stage
from bench.load.observer import ObserverError
from bench.reports.command import write
from bench.reports.summary import summary
from bench.reports.table import tables, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.common.runs import Run
    from bench.experiments.configurations import Configuration

RESULTS = ROOT / ".bench" / "experiments"
LOADS = ("ramping", "spike", "ramp-steady")
_BAD = ("lost", "duplicated", "failed")
_DEFAULT = Setup()
_EPILOG = """A cell is LOAD/CONFIGURATION. Before each the workers are scaled to 0, and their scaler is made anew, with
nothing learnt.
The last configuration stays on the cluster, until `just deploy` brings another.

With --time-scale N an experiment takes an Nth of its time: arrivals, the toy model and the control loops alike. The
HPA's tick is a flag of the controller manager, on minikube
  minikube start --extra-config=controller-manager.horizontal-pod-autoscaler-sync-period=1500ms
and --hpa-sync tells what it is; each run says what else could not be divided.

Exit code: 0; 1 if a cell failed, or had jobs lost, duplicated or failed; 2 if nothing could be run.
"""


class UsageError(Exception):
    """Why nothing is run, in one sentence."""


def main() -> None:
    """Ends the process with the exit code."""
    options = _parser().parse_args()
    try:
        sys.exit(_run(options))
    except (UsageError, ConfigurationError, ClusterError, LoadError, OSError) as error:
        print(f"bench experiments: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("bench experiments: interrupted; the same command goes on with what is not done", file=sys.stderr)
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench experiments",
        description="Runs loads against scaling configurations on a cluster, and reports on all runs side by side.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--list", action="store_true", help="shows the cells and which of them are done; runs nothing")
    add("--only", nargs="+", default=[], metavar="PATTERN", help="cells whose names fit: 'ramping/*' '*/streams'")
    add("--loads", nargs="+", default=list(LOADS), metavar="LOAD", help=f"as of `bench load` (default: "
        f"{' '.join(LOADS)})")  # fmt: skip
    add("--configurations", nargs="+", metavar="NAME", help="folders of --from (default: all)")
    add("--from", dest="folder", type=Path, default=FOLDER, metavar="FOLDER", help="(default: deploy/experiments)")
    add("--duration", type=positive, default=_DEFAULT.duration_s, metavar="S", help="of each load, at a time scale of "
        "1 (default: %(default)g)")  # fmt: skip
    add("--time-scale", type=positive, default=_DEFAULT.time_scale, metavar="N", help="divides all times "
        "(default: %(default)g)")  # fmt: skip
    add("--hpa-sync", type=positive, default=_DEFAULT.hpa_sync_s, metavar="S", help="the HPA's tick, as it is set "
        "(default: %(default)g)")  # fmt: skip
    add("--startup", type=positive, default=_DEFAULT.startup_s, metavar="S", help="of the toy model, before it is "
        "divided (default: %(default)g)")  # fmt: skip
    add("--service", type=positive, default=_DEFAULT.service_s, metavar="S", help="of a job, before it is divided "
        "(default: %(default)g)")  # fmt: skip
    add("--process", choices=PROCESSES, default=_DEFAULT.process, help="of the arrivals (default: %(default)s)")
    add("--seed", type=int, default=_DEFAULT.seed, help="of the arrivals (default: %(default)s)")
    add("--poll", type=positive, metavar="S", help="users ask every S seconds, before it is divided, and give up "
        "after 60 polls, as the old client did (default: they wait by long poll)")  # fmt: skip
    add("--url", type=url, help="of the service (default: asked of the cluster)")
    add("--again", action="store_true", help="runs what is done, too")
    add("--output", type=Path, default=RESULTS, metavar="FOLDER", help="for the runs and the report (default: "
        ".bench/experiments)")  # fmt: skip
    return parser


def _run(options: argparse.Namespace) -> int:
    setup = Setup(
        duration_s=options.duration,
        process=options.process,
        seed=options.seed,
        poll_s=options.poll,
        time_scale=options.time_scale,
        startup_s=options.startup,
        service_s=options.service,
        hpa_sync_s=options.hpa_sync,
    )
    all_of_them = find(options.folder)
    wanted = all_of_them if options.configurations is None else chosen(all_of_them, options.configurations)
    found = only(cells(options.loads, [(one.name, one.digest) for one in wanted], setup), options.only)
    if not found:
        raise UsageError(f"no cell fits {' '.join(options.only)}: --list shows them")
    for cell in found:
        make_generator(cell, "http://127.0.0.1")  # a load that is none is known now, and not after an hour
    results = Results(options.output)
    if options.list:
        print(_listed(found, results))
        return 0
    failed = asyncio.run(_run_cells(options, found, results, all_of_them))
    return _report(found, results, setup) or int(bool(failed))


def _listed(found: Sequence[Cell], results: Results) -> str:
    done = {cell: results.run(cell) is not None for cell in found}
    lines = [
        f"{'done ' if done[cell] else 'to do'}  {cell.name}  {os.path.relpath(results.path(cell))}" for cell in found
    ]
    rest = [cell for cell in found if not done[cell]]
    minutes = sum(cell.setup.duration_s / cell.setup.time_scale for cell in rest) / 60
    return "\n".join([*lines, f"{len(rest)} of {len(found)} to do: {minutes:.0f} minutes of load, and between them"])


async def _run_cells(
    options: argparse.Namespace, found: Sequence[Cell], results: Results, all_of_them: Sequence[Configuration]
) -> list[Cell]:
    if not options.again and all(results.run(cell) is not None for cell in found):
        return []
    kubectl = await current()
    api_key = os.environ.get("LEADTIME_API_KEY") or None
    base = options.url or await address(kubectl, api_key)
    with alone(kubectl.context):
        _say(f"{len(found)} cells on the cluster {kubectl.context}, through {base}")
        async with contextlib.aclosing(Stage(kubectl, base, _say)) as stage:
            runner = Runner(kubectl, stage, base, all_of_them, api_key)
            return await run_all(found, results, runner.run, _say, (ClusterError, ObserverError), options.again)


def _say(sentence: str) -> None:
    print(f"experiments: {sentence}", file=sys.stderr, flush=True)


def _notes(runs: Sequence[Run]) -> Iterator[str]:
    """Each sentence once, with the runs that it is of unless it is of all."""
    names: dict[str, list[str]] = {}
    for run in runs:
        for note in run.notes:
            names.setdefault(note, []).append(run.name)
    for note, of in names.items():
        yield note if len(of) == len(runs) else f"{'; '.join(of)}: {note}"


def _report(found: Sequence[Cell], results: Results, setup: Setup) -> int:
    """Of all cells that are done. 1 if one of them has jobs that did not end well."""
    runs = [run for run in map(results.run, found) if run is not None]
    if not runs:
        return 0
    # A job waits no longer than one mean service time.
    objective_s = 2 * setup.service_s / setup.time_scale
    scale = "" if setup.time_scale == 1 else f", time scale {setup.time_scale:g}"
    page = write(runs, results.folder / "report", objective_s, f"Loads x scaling configurations{scale}")
    print(text(tables([summary(run, objective_s) for run in runs])), end="\n\n")
    for line in _notes(runs):
        print(line)
    if len(images := {run.versions.get("image", "") for run in runs}) > 1:
        print(
            f"These runs are of different images of the service ({', '.join(sorted(images))}): --again runs all anew."
        )
    print(
        f"\n{len(runs)} of {len(found)} cells are done. The plots, and a page with all of this: {os.path.relpath(page)}"
    )
    return int(any(outcome in _BAD for run in runs for outcome in run.jobs.outcome))
