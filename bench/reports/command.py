"""`python -m bench report FILE...`: prints the tables of runs, and writes their plots and one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bench.common.arguments import positive, run_command
from bench.common.processes import ROOT
from bench.common.runs import RunError, read
from bench.reports.page import page
from bench.reports.plots import plots
from bench.reports.summary import summary
from bench.reports.table import tables, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.common.runs import Run

FOLDER = ROOT / ".bench" / "report"
PAGE = "report.html"


def main() -> None:
    """Ends the process with 2 and one sentence if a file is not one of a run, or nothing can be written."""
    run_command(_parser(), _report, RunError, OSError)


def _report(options: argparse.Namespace) -> None:
    runs = [read(file) for file in options.files]
    if options.names and len(options.names) != len(runs):
        raise RunError(f"{len(options.names)} names for {len(runs)} runs")
    for run, name in zip(runs, options.names, strict=False):
        run.name = name
    file = write(runs, options.output, options.objective, options.title)
    print(text(tables([summary(run, options.objective) for run in runs])), end="\n\n")
    print("".join(f"{run.name}: {note}\n" for run in runs for note in run.notes))
    print(f"The plots, and a page with all of this: {file}")


def write(runs: Sequence[Run], folder: Path, objective_s: float | None = None, title: str = "") -> Path:
    """Writes a picture of each kind and the page into the folder, which is made; returns the page. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = plots(runs, objective_s)
    for plot in drawn:
        (folder / f"{plot.name}.png").write_bytes(plot.png)
    file = folder / PAGE
    found = tables([summary(run, objective_s) for run in runs])
    file.write_text(page(title or ", ".join(run.name for run in runs), runs, found, drawn), encoding="utf-8")
    return file


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench report",
        description="Tables and plots of runs, side by side: of the load generator, the experiments, the simulator.",
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="of a run")
    add("--output", type=Path, default=FOLDER, metavar="FOLDER", help="for plots and page (default: .bench/report)")
    add("--objective", type=positive, metavar="S", help="shows the share of jobs that finished within S seconds")
    add("--names", nargs="+", default=[], metavar="NAME", help="of the runs, in place of those in the files")
    add("--title", default="", help="of the page (default: the runs' names)")
    return parser
