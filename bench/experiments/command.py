"""`python -m bench experiments`: loads x scaling configurations on the cluster of kubectl's current context.

Cells that are done are kept and not run again; what was interrupted is run anew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import hashlib
import os
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from bench.common.arguments import positive, run_command, url
from bench.common.arrivals import PROCESSES, LoadError
from bench.common.processes import ROOT
from bench.experiments.cell import CellRunner, plan
from bench.experiments.configurations import FOLDER, ConfigurationError, chosen, find
from bench.experiments.kubectl import ClusterError, address, current
from bench.experiments.matrix import MatrixCell, Results, Setup, cells, only, run_all
from bench.experiments.stage import Stage
from bench.load.generator import Generator
from bench.load.observer import ObserverError
from bench.reports.command import write
from bench.reports.summary import summary
from bench.reports.table import tables, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.experiments.configurations import Configuration

LOADS = ("ramping", "spike", "ramp-steady")
_BAD = ("lost", "duplicated", "failed")
_EPILOG = """A cell is LOAD/CONFIGURATION. Before each the workers are scaled to 0, and their scaler is made anew, with
nothing learnt. The last configuration stays on the cluster. Helm does not know its scaler: before `just deploy` brings
another, `kubectl delete deployment leadtime-scaler` removes it.

Exit code: 0; 1 if a cell failed, or had jobs lost, duplicated or failed; 2 if nothing could be run.
"""


def main() -> None:
    """Ends the process with the exit code."""
    try:
        run_command(
            _parser(), lambda options: sys.exit(_run(options)), ConfigurationError, ClusterError, LoadError, OSError
        )
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
    add, default = parser.add_argument, Setup()
    add("--list", action="store_true", help="shows the cells and which of them are done; runs nothing")
    add("--only", nargs="+", default=[], metavar="PATTERN", help="cells whose names fit: 'ramping/*' '*/streams'")
    add("--loads", nargs="+", default=LOADS, metavar="LOAD", help=f"as of `bench load` (default: {' '.join(LOADS)})")
    add("--configurations", nargs="+", metavar="NAME", help="folders of --from (default: all)")
    add(
        "--from",
        dest="folder",
        type=Path,
        default=FOLDER,
        metavar="FOLDER",
        help="(default: deploy/values/experiments)",
    )
    for name, what in (("duration", "of each load"), ("startup", "of the toy model"), ("service", "of a job")):
        dest = f"{name}_s"
        add(f"--{name}", dest=dest, type=positive, default=getattr(default, dest), metavar="S", help=f"{what}, in "
            "seconds (default: %(default)g)")  # fmt: skip
    add("--process", choices=PROCESSES, default=default.process, help="of the arrivals (default: %(default)s)")
    add("--seed", type=int, default=default.seed, help="of the arrivals (default: %(default)s)")
    add("--time-scale", type=positive, default=default.time_scale, metavar="N", help="divides the times of load and "
        "model, but none of --from (default: %(default)g)")  # fmt: skip
    add("--poll", dest="poll_s", type=positive, metavar="S", help="users ask every S seconds, and give up after 60 "
        "polls (default: they wait by long poll)")  # fmt: skip
    add("--url", type=url, help="of the service (default: asked of the cluster)")
    add("--again", action="store_true", help="runs what is done, too")
    add("--output", type=Path, default=ROOT / ".bench" / "experiments", metavar="FOLDER", help="for the runs and the "
        "report (default: .bench/experiments)")  # fmt: skip
    return parser


def _run(options: argparse.Namespace) -> int:
    setup = Setup(**{field.name: getattr(options, field.name) for field in fields(Setup)})
    all_of_them = find(options.folder)
    wanted = all_of_them if options.configurations is None else chosen(all_of_them, options.configurations)
    found = only(cells(options.loads, [(one.name, one.digest) for one in wanted], setup), options.only)
    if not found:
        raise ConfigurationError(f"no cell fits {' '.join(options.only)}: --list shows them")
    for cell in found:
        Generator(plan(cell, "http://127.0.0.1"))  # a load that is none is known now, and not after an hour
    results = Results(options.output)
    if options.list:
        print(_listed(found, results))
        return 0
    failed = asyncio.run(_run_cells(options, found, results, all_of_them))
    return _report(found, results, setup) or int(bool(failed))


def _listed(found: Sequence[MatrixCell], results: Results) -> str:
    done = {cell: results.run(cell) is not None for cell in found}
    lines = [
        f"{'done ' if done[cell] else 'to do'}  {cell.name}  {os.path.relpath(results.path(cell))}" for cell in found
    ]
    rest = [cell for cell in found if not done[cell]]
    minutes = sum(cell.setup.duration_s / cell.setup.time_scale for cell in rest) / 60
    return "\n".join([*lines, f"{len(rest)} of {len(found)} to do: {minutes:.0f} minutes of load, and between them"])


async def _run_cells(
    options: argparse.Namespace, found: Sequence[MatrixCell], results: Results, all_of_them: Sequence[Configuration]
) -> list[MatrixCell]:
    if not options.again and all(results.run(cell) is not None for cell in found):
        return []
    kubectl = await current()
    api_key = os.environ.get("LEADTIME_API_KEY") or None
    base = options.url or await address(kubectl, api_key)
    with alone(kubectl.context):
        _say(f"{len(found)} cells on the cluster {kubectl.context}, through {base}")
        async with contextlib.aclosing(Stage(kubectl, base, _say, api_key)) as stage:
            runner = CellRunner(kubectl, stage, base, all_of_them, api_key)
            return await run_all(found, results, runner.run, _say, (ClusterError, ObserverError), options.again)


@contextlib.contextmanager
def alone(context: str) -> Iterator[None]:
    """One run of the experiments on a cluster at a time: two would take the workers away from each other.

    Raises ClusterError if another process of this user has begun and not ended. The lock goes with the process.
    """
    name = hashlib.sha256(context.encode()).hexdigest()[:12]
    path = Path(tempfile.gettempdir()) / f"leadtime-experiments-{os.getuid()}-{name}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError(f"other experiments run on the cluster {context}: wait for them, or end them") from None
        yield


def _say(sentence: str) -> None:
    print(f"experiments: {sentence}", file=sys.stderr, flush=True)


def _report(found: Sequence[MatrixCell], results: Results, setup: Setup) -> int:
    """Of all cells that are done. 1 if one of them has jobs that did not end well."""
    runs = [run for run in map(results.run, found) if run is not None]
    if not runs:
        return 0
    objective_s = 2 * setup.service_s / setup.time_scale  # a job waits no longer than one service time
    page = write(runs, results.folder / "report", objective_s, "Loads x scaling configurations")
    print(text(tables([summary(run, objective_s) for run in runs])), end="\n\n")
    notes: dict[str, list[str]] = {}
    for run in runs:
        for note in run.notes:
            notes.setdefault(note, []).append(run.name)
    for note, names in notes.items():
        print(note if len(names) == len(runs) else f"{'; '.join(names)}: {note}")
    if len(images := {run.versions.get("image", "") for run in runs}) > 1:
        print(f"These runs are of different images of the service ({', '.join(sorted(images))}): --again runs all.")
    print(
        f"\n{len(runs)} of {len(found)} cells are done. The plots, and a page with all of it: {os.path.relpath(page)}"
    )
    return int(any(outcome in _BAD for run in runs for outcome in run.jobs.outcome))
