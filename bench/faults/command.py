"""`python -m bench faults`: load while workers, the server and the gateway are killed, and an account of every job.

On processes of its own, or (--kubernetes) on the pods of the cluster of kubectl's current context.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.common.arguments import positive, url, whole
from bench.common.arrivals import PROCESSES, LoadError
from bench.common.processes import ROOT
from bench.common.runs import write
from bench.common.server import program
from bench.faults import local
from bench.faults.place import PlaceError
from bench.faults.run import endure
from bench.faults.schedule import schedule
from bench.faults.verdict import Verdict, verdict
from bench.load.generator import Generator
from bench.load.plan import LoadPlan
from bench.load.progress import watched
from bench.reports.summary import summary
from bench.reports.table import tables, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.common.runs import Run
    from bench.faults.place import Place

FOLDER = ROOT / ".bench" / "faults"
# What is done by default, here and there: a pod takes longer to be replaced than a process.
_HERE = {"load": "constant:20", "duration_s": 60.0, "every_s": 3.0}
_THERE = {"load": "constant:0.4", "duration_s": 300.0, "every_s": 30.0}


def main() -> None:
    """Ends the process: 0; 1 if anything is lost, duplicated or unexplained; 2 if there was no run."""
    options = _parser().parse_args()
    for name, value in (_THERE if options.kubernetes else _HERE).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        found = asyncio.run(_run(options))
    except (PlaceError, LoadError, OSError) as error:
        print(f"bench faults: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(1 if found.wrong else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench faults",
        description="Sends a load while parts of the service are killed, and accounts for every job.",
        epilog="Exit code: 0; 1 if anything is lost, duplicated or unexplained; 2 if there was no run.",
    )
    add = parser.add_argument
    add("load", nargs="?", metavar="LOAD", help=f"as of `bench load` (default: {_HERE['load']}; in a cluster "
        f"{_THERE['load']})")  # fmt: skip
    add("--duration", dest="duration_s", type=positive, metavar="S", help="seconds that jobs are sent for (default: "
        f"{_HERE['duration_s']:g}; in a cluster {_THERE['duration_s']:g})")  # fmt: skip
    add("--every", dest="every_s", type=positive, metavar="S", help="a worker is killed about every S seconds "
        f"(default: {_HERE['every_s']:g}; in a cluster {_THERE['every_s']:g})")  # fmt: skip
    add("--server-kills", type=whole(0), default=2, metavar="N", help="(default: %(default)s)")
    add("--gateway-kills", type=whole(0), default=1, metavar="N", help="(default: %(default)s)")
    add("--process", choices=PROCESSES, default="poisson", help="of the arrivals (default: %(default)s)")
    add("--seed", type=whole(0), default=1, help="of arrivals and kills (default: %(default)s)")
    add("--timeout", type=positive, default=180.0, metavar="S", help="seconds after the load's end; a job that has "
        "not ended then counts as lost (default: %(default)g)")  # fmt: skip
    add("--output", type=Path, default=FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}.json.gz", metavar="FILE",
        help="the run's file (default: one in .bench/faults)")  # fmt: skip
    here = parser.add_argument_group("on processes of its own")
    here.add_argument("--workers", type=whole(1, 100), default=4, metavar="N", help="(default: %(default)s)")
    here.add_argument("--service", type=positive, default=0.1, metavar="S", help="of a job (default: %(default)g)")
    here.add_argument("--lease", type=positive, default=5.0, metavar="S", help="seconds after which a killed worker's "
        "job is another's (default: %(default)g)")  # fmt: skip
    here.add_argument("--server", default="valkey", metavar="PROGRAM", help="valkey (embedded, the default), or a "
        "program's name or path")  # fmt: skip
    there = parser.add_argument_group("on pods")
    there.add_argument("--kubernetes", action="store_true", help="in the cluster of kubectl's current context, where "
        "`just deploy` has put the service")  # fmt: skip
    there.add_argument("--url", type=url, metavar="URL", help="of the service (default: asked of the cluster)")
    return parser


async def _run(options: argparse.Namespace) -> Verdict:
    """The run with its live view; prints the account, and writes the files."""
    rng = random.Random(options.seed)
    planned = schedule(options.duration_s, options.every_s, options.server_kills, options.gateway_kills, rng)
    async with _place(options) as place:
        generator = Generator(_plan(options, place.url), place.sources)
        async with watched(generator):
            evidence = await endure(place, generator, planned, rng, options.timeout)
        found = verdict(evidence)
        _keep(evidence.run, found, place, options)
    return found


@contextlib.asynccontextmanager
async def _place(options: argparse.Namespace) -> AsyncIterator[Place]:
    if options.kubernetes:
        from bench.faults import pods

        async with pods.pods(options.url, os.environ.get("LEADTIME_API_KEY") or None) as place:
            yield place
        return
    layout = local.Layout(program(options.server), options.workers, options.service, options.lease)
    print(f"starting a server, a gateway and {options.workers} workers", file=sys.stderr, flush=True)
    async with local.local(layout) as here:
        yield here


def _plan(options: argparse.Namespace, url: str) -> LoadPlan:
    return LoadPlan(
        load=options.load,
        url=url,
        duration_s=options.duration_s,
        process=options.process,
        seed=options.seed,
        name=f"{options.load} with faults",
        timeout_s=options.timeout,
        persist=True,
        api_key=os.environ.get("LEADTIME_API_KEY") or None,
    )


def _keep(run: Run, found: Verdict, place: Place, options: argparse.Namespace) -> None:
    run.parameters["faults"] = {
        "every_s": options.every_s,
        "server_kills": options.server_kills,
        "gateway_kills": options.gateway_kills,
        **(
            {"place": "a cluster"}
            if options.kubernetes
            else {"workers": options.workers, "service_s": options.service, "lease_s": options.lease}
        ),
    }
    run.notes += [*found.account, *(f"Wrong: {line}" for line in found.wrong)]
    write(run, options.output)
    print(text(tables([summary(run)])), end="\n\n")
    print(found, end="\n\n")
    if found.wrong and isinstance(place, local.Local):
        folder = options.output.with_name(f"{options.output.name.partition('.')[0]}-logs")
        folder.mkdir(exist_ok=True)
        for name, log in place.logs().items():
            (folder / f"{name}.log").write_text(log, encoding="utf-8")
        print(f"The logs of all parts are in {folder}.")
    file = os.path.relpath(options.output)
    print(f"The run is in {file}: `python -m bench report {file}` makes its plots.")


if __name__ == "__main__":
    main()
