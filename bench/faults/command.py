"""`python -m bench faults`: load while workers, the server and the gateway are killed, and an account of every job.

On processes of its own, or (--kubernetes) on the pods of the cluster of kubectl's current context.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.common.arguments import positive, url, whole
from bench.common.arrivals import PROCESSES, LoadError
from bench.common.processes import ROOT
from bench.common.runs import write
from bench.common.server import program
from bench.faults.place import PlaceError
from bench.faults.pods import pods
from bench.faults.run import endure, schedule
from bench.faults.verdict import FaultVerdict, verdict
from bench.load.generator import Generator
from bench.load.plan import LoadPlan
from bench.load.progress import watched
from bench.reports.summary import summary
from bench.reports.table import tables, text
from tests.faults.local import Layout, LocalPlace, local

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from bench.common.runs import Run
    from bench.faults.place import Place

# What is done by default, here and in a cluster: a pod takes longer to be replaced than a process.
_HERE = {"load": "constant:20", "duration_s": 60.0, "every_s": 3.0}
_THERE = {"load": "constant:0.4", "duration_s": 300.0, "every_s": 30.0}
_OWN = ("workers", "service_s", "lease_s")


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
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    both = "in a cluster {}".format
    add("load", nargs="?", metavar="LOAD", help=f"as of `bench load`: {_HERE['load']}, {both(_THERE['load'])}")
    add("--duration", dest="duration_s", type=positive, metavar="S",
        help=f"seconds that jobs are sent for: {_HERE['duration_s']:g}, {both(_THERE['duration_s'])}")  # fmt: skip
    add("--every", dest="every_s", type=positive, metavar="S",
        help=f"a worker is killed about every S seconds: {_HERE['every_s']:g}, {both(_THERE['every_s'])}")  # fmt: skip
    add("--server-kills", type=whole(0), default=2, metavar="N", help="of the server")
    add("--gateway-kills", type=whole(0), default=1, metavar="N", help="of the gateway")
    add("--process", choices=PROCESSES, default="poisson", help="of the arrivals")
    add("--seed", type=whole(0), default=1, help="of arrivals and kills")
    add("--timeout", type=positive, default=180.0, metavar="S", help="seconds after the load's end; a job that has not "
        "ended then counts as lost")  # fmt: skip
    add("--output", type=Path, default=ROOT / ".bench" / "faults" / f"{time.strftime('%Y%m%d-%H%M%S')}.json.gz",
        metavar="FILE", help="the run's file")  # fmt: skip
    add = parser.add_argument_group("on processes of its own").add_argument
    add("--workers", type=whole(1, 100), default=4, metavar="N", help="how many")
    add("--service", dest="service_s", type=positive, default=0.1, metavar="S", help="of a job")
    add("--lease", dest="lease_s", type=positive, default=5.0, metavar="S", help="seconds after which a killed "
        "worker's job is another's")  # fmt: skip
    add("--server", default="valkey", metavar="PROGRAM", help="valkey (embedded), or a program's name or path")
    add = parser.add_argument_group("on pods").add_argument
    add("--kubernetes", action="store_true", help="in the cluster of kubectl's current context, with the service on it")
    add("--url", type=url, help="of the service; without, the cluster is asked")
    return parser


async def _run(options: argparse.Namespace) -> FaultVerdict:
    """Makes the run with its live view, writes the files, and prints the account."""
    rng = random.Random(options.seed)
    planned = schedule(options.duration_s, options.every_s, options.server_kills, options.gateway_kills, rng)
    api_key = os.environ.get("LEADTIME_API_KEY") or None
    if options.kubernetes:
        there: AbstractAsyncContextManager[Place] = pods(options.url, api_key)
    else:
        print(f"starting a server, a gateway and {options.workers} workers", file=sys.stderr, flush=True)
        there = local(Layout(program(options.server), *(getattr(options, name) for name in _OWN)))
    async with there as place:
        plan = LoadPlan(
            load=options.load,
            url=place.url,
            duration_s=options.duration_s,
            process=options.process,
            seed=options.seed,
            name=f"{options.load} with faults",
            timeout_s=options.timeout,
            persist=True,
            api_key=api_key,
        )
        generator = Generator(plan, place.sources)
        async with watched(generator):
            evidence = await endure(place, generator, planned, rng, options.timeout)
        found = verdict(evidence)
        told = ("every_s", "server_kills", "gateway_kills", *(() if options.kubernetes else _OWN))
        evidence.run.parameters["faults"] = {name: getattr(options, name) for name in told}
        _keep(evidence.run, found, options.output)
        if found.wrong and isinstance(place, LocalPlace):
            logs = options.output.with_name(f"{options.output.name.partition('.')[0]}-logs")
            shutil.copytree(place.folder, logs, dirs_exist_ok=True)
            print(f"The logs of all parts, and the server's data, are in {logs}.")
    return found


def _keep(run: Run, found: FaultVerdict, output: Path) -> None:
    run.notes += [*found.account, *(f"Wrong: {line}" for line in found.wrong)]
    write(run, output)
    print(text(tables([summary(run)])), found, sep="\n\n", end="\n\n")
    file = os.path.relpath(output)
    print(f"The run is in {file}: `python -m bench report {file}` makes its plots.")


if __name__ == "__main__":
    main()
