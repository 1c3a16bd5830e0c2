"""`python -m bench growth`: what each call costs as jobs and workers become more, as a table, a plot and JSON.

    waiting    0, 10k, 100k, 1M jobs that wait
    deferred   0, 10k, 100k, 1M jobs for later
    idle       1, 10, 100, 1000 idle workers, and the wake-up of one of them
    busy       1, 10, 100, 1000 workers, each with a job

All sizes of an axis are measured in turns, each on a server of its own. The server's own time decides: flat,
logarithmic, or faster (bench/growth/verdict.py has the rule). Exit code: 0 if all was measured, whatever the
figures; 1 if something could not be, with one sentence on stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import uvloop

from bench.common import placement
from bench.common.arguments import whole
from bench.common.processes import ROOT, BenchError
from bench.growth.cells import Axis
from bench.growth.measure import Found, Sizes, measure, raise_limits
from bench.growth.plot import plot
from bench.growth.report import plain, table
from bench.peers.report import machine

AXES = (
    Axis("waiting", "waiting jobs", (0, 10_000, 100_000, 1_000_000), idles=False),
    Axis("deferred", "deferred jobs", (0, 10_000, 100_000, 1_000_000), idles=True),
    Axis("idle", "idle workers", (1, 10, 100, 1000), idles=True),
    Axis("busy", "busy workers", (1, 10, 100, 1000), idles=True),
)
FULL = Sizes(rounds=7, cycles=200, pushes=100, pace_s=5.0)
QUICK = Sizes(rounds=3, cycles=40, pushes=30, pace_s=2.0)
_QUICK_MOST = 100_000


def main() -> None:
    """Reads the command line, measures, prints, and writes the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, up to 100k jobs: a look, not a measurement")
    parser.add_argument("--rounds", type=whole(1), help=f"how often all is measured (default: {FULL.rounds})")
    names = [axis.name for axis in AXES]
    parser.add_argument("--only", choices=names, nargs="+", default=names, help="what grows (default: all)")
    parser.add_argument(
        "--server", nargs="+", default=["valkey"], help="valkey (embedded, the default), or programs' names or paths"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / ".bench" / "growth", metavar="FOLDER", help="default: .bench/growth"
    )
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    if options.rounds:
        sizes = Sizes(options.rounds, sizes.cycles, sizes.pushes, sizes.pace_s)
    axes = [_smaller(axis) if options.quick else axis for axis in AXES if axis.name in options.only]
    try:
        raise_limits(axes)
        for name in options.server:
            _run(name, axes, sizes, options.out)
    except (BenchError, OSError) as error:
        sys.exit(f"bench: {error}")


def _smaller(axis: Axis) -> Axis:
    return Axis(axis.name, axis.what, tuple(size for size in axis.sizes if size <= _QUICK_MOST), axis.idles)


def _run(name: str, axes: list[Axis], sizes: Sizes, folder: Path) -> None:
    on = machine()
    found: list[Found] = []
    # The servers have the other cores.
    with placement.on(placement.MEASURED):
        found += (uvloop.run(measure(axis, name, sizes)) for axis in axes)
    print(table(found, on, sizes))
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"growth-{Path(name).name}"
    (folder / f"{stem}.json").write_text(json.dumps(plain(found, on, sizes), indent=1) + "\n", encoding="utf-8")
    plot(found, folder / f"{stem}.png")
    print(f"\nplot and figures: {folder / stem}.png, .json\n")


if __name__ == "__main__":
    main()
