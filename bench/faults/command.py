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

from bench.common.arguments import positive, run_command, url, whole
from bench.common.arrivals import PROCESSES, LoadError
from bench.common.processes import ROOT
from bench.common.runs import write
from bench.common.server import program
from bench.faults.place import PlaceError
from bench.faults.pods import pods
from bench.faults.run import endure, schedule
from bench.faults.verdict import verdict
from bench.load.generator import Generator
from bench.load.plan import LoadPlan
from bench.load.progress import watched
from bench.reports.summary import summary
from bench.reports.table import tables, text
from tests.fleet.local import Layout, LocalPlace, local

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from bench.faults.place import Place

# What is done by default, here and in a cluster: a pod takes longer to be replaced than a process.
_HERE = {"load": "constant:20", "duration_s": 60.0, "every_s": 3.0}
_THERE = {"load": "constant:0.4", "duration_s": 300.0, "every_s": 30.0}
_OWN = ("workers", "service_s", "lease_s")


def main() -> None:
    """Ends the process: 0; 1 if anything is lost, duplicated or unexplained; 2 if there was no run."""
    run_command(_parser(), lambda options: sys.exit(asyncio.run(_run(options))), PlaceError, LoadError, OSError)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench faults",
        description="Sends a load while parts of the service are killed, and accounts for every job.",
        epilog="Exit code: 0; 1 if anything is lost, duplicated or unexplained; 2 if there was no run.",
    )
    default, places = " (default: %(default)s)", "{}, in a cluster {}".format
    defaults = {name: f" (default: {places(_HERE[name], _THERE[name])})" for name in _HERE}
    file = ROOT / ".bench" / "faults" / f"{time.strftime('%Y%m%d-%H%M%S')}.json.gz"
    add = parser.add_argument
    add("load", nargs="?", metavar="LOAD", help="as of `bench load`" + defaults["load"])
    add("--duration", dest="duration_s", type=positive, metavar="S", help="how long jobs are sent" +
        defaults["duration_s"])  # fmt: skip
    add("--every", dest="every_s", type=positive, metavar="S", help="a worker is killed about every S seconds" +
        defaults["every_s"])  # fmt: skip
    add("--server-kills", type=whole(0), default=2, metavar="N", help="times that the server is killed" + default)
    add("--gateway-kills", type=whole(0), default=1, metavar="N", help="the same of the gateway" + default)
    add("--process", choices=PROCESSES, default="poisson", help="of the arrivals" + default)
    add("--seed", type=whole(0), default=1, help="of arrivals and kills" + default)
    add("--timeout", dest="timeout_s", type=positive, default=180.0, metavar="S", help="seconds after the load's end; "
        "a job that has not ended then counts as lost" + default)  # fmt: skip
    add("--output", type=Path, default=file, metavar="FILE", help="the run's file (default: one in .bench/faults)")
    add = parser.add_argument_group("on processes of its own").add_argument
    add("--workers", type=whole(1, 100), default=4, metavar="N", help="how many" + default)
    add("--service", dest="service_s", type=positive, default=0.1, metavar="S", help="of a job" + default)
    add("--lease", dest="lease_s", type=positive, default=5.0, metavar="S", help="seconds after which a killed "
        "worker's job is another's" + default)  # fmt: skip
    add(
        "--server", default="valkey", metavar="PROGRAM", help="valkey (embedded), or a program's name or path" + default
    )
    add = parser.add_argument_group("on pods").add_argument
    add("--kubernetes", action="store_true", help="in the cluster of kubectl's current context, with the service on it")
    add("--url", type=url, metavar="URL", help="of the service (default: asked of the cluster)")
    return parser


async def _run(options: argparse.Namespace) -> int:
    """Makes the run, writes the files, and prints the account; 1 if something is wrong in it."""
    for name, value in (_THERE if options.kubernetes else _HERE).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(options.seed)
    planned = schedule(options.duration_s, options.every_s, options.server_kills, options.gateway_kills, rng)
    api_key = os.environ.get("LEADTIME_API_KEY") or None
    if options.kubernetes:
        there: AbstractAsyncContextManager[Place] = pods(options.url, api_key)
    else:
        print(f"starting a server, a gateway and {options.workers} workers", file=sys.stderr, flush=True)
        there = local(Layout(program(options.server), *(getattr(options, name) for name in _OWN)))
    async with there as place:
        given = {name: getattr(options, name) for name in ("load", "duration_s", "process", "seed", "timeout_s")}
        plan = LoadPlan(url=place.url, name=f"{options.load} with faults", persist=True, api_key=api_key, **given)
        generator = Generator(plan, place.sources)
        async with watched(generator):
            evidence = await endure(place, generator, planned, rng, options.timeout_s)
        run, found = evidence.run, verdict(evidence)
        told = ("every_s", "server_kills", "gateway_kills", *(() if options.kubernetes else _OWN))
        run.parameters["faults"] = {name: getattr(options, name) for name in told}
        run.notes += [*found.account, *(f"Wrong: {line}" for line in found.wrong)]
        write(run, options.output)
        print(text(tables([summary(run)])), found, sep="\n\n", end="\n\n")
        if found.wrong and isinstance(place, LocalPlace):
            logs = options.output.with_name(f"{options.output.name.partition('.')[0]}-logs")
            shutil.copytree(place.folder, logs, dirs_exist_ok=True)
            print(f"The logs of all parts, and the server's data, are in {logs}.")
    print(f"The run is in {options.output}: `python -m bench report {options.output}` makes its plots.")
    return int(bool(found.wrong))
