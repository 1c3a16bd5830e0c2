"""`python -m bench load`: reads the command line, makes the run, prints what it found and writes its file."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import re
import resource
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from yarl import URL

from bench.common.arguments import DEFAULT_URL, at_least, url
from bench.common.arrivals import PROCESSES, SHAPES, LoadError
from bench.common.processes import ROOT
from bench.common.runs import write
from bench.load.client import ServiceClient
from bench.load.generator import Generator
from bench.load.observer import ObserverError, QueueSource, cluster
from bench.load.plan import LoadPlan
from bench.load.progress import watched
from bench.reports.summary import summary
from bench.reports.table import tables, text

if TYPE_CHECKING:
    from bench.common.runs import Run

_EPILOG = f"""loads, each perhaps with a factor (ramping*3):
  {(chr(10) + "  ").join(SHAPES.values())}

The first SIGINT ends the sending, and jobs in flight get some seconds; the second ends all at once. The file is
written either way. Exit code: 0; 1 if a job was lost or duplicated, or had another's result; 2 if there was no run.
"""


def main() -> None:
    """Ends the process with the exit code."""
    parser = _parser()
    options = parser.parse_args()
    if options.api_key and URL(options.url).user:
        parser.error("an API key and a URL with a name in it are two ways to say who one is: give one")
    if options.duration_s is None and not options.load.startswith("trace:"):
        options.duration_s = 60.0
    try:
        plan = LoadPlan(**{field.name: getattr(options, field.name) for field in fields(LoadPlan)})
        generator, run = uvloop.run(_make(plan))
    except (LoadError, ObserverError) as error:
        print(f"bench load: {error}", file=sys.stderr)
        sys.exit(2)
    output = options.output or _default_output(run.name)
    write(run, output)
    print(text(tables([summary(run)])), end="\n\n")
    print(*run.notes, sep="\n", end="\n\n")
    print(f"The run is in {output}: `python -m bench report {output}` makes its plots.")
    sys.exit(0 if generator.account.is_clean and not generator.errors else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench load",
        description="Sends a load to the service, open loop, and accounts for every job.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, seconds = parser.add_argument, at_least(0.001)
    add("load", metavar="LOAD", help="a shape and its numbers, see below (constant:2, ramping, trace:FILE)")
    add("--url", default=DEFAULT_URL, type=url, help="of the service (default: %(default)s)")
    add("--duration", dest="duration_s", type=seconds, metavar="S", help="how long jobs are sent (default: 60 s, or "
        "all of a trace)")  # fmt: skip
    add("--process", choices=PROCESSES, default="poisson", help="of the arrivals (default: %(default)s)")
    add("--seed", type=int, default=1, help="of the arrivals (default: %(default)s)")
    add("--poll", dest="poll_s", type=seconds, metavar="S", help="users ask every S seconds and give up after 60 "
        "polls (default: they wait by long poll)")  # fmt: skip
    add("--push-only", action="store_true", help="users push and are done")
    add("--queue", default="", metavar="NAME", help="of a gateway with several: /queues/NAME/push (default: /push)")
    add("--persist", action="store_true", help="a push that is answered with 503 is sent again, with the same key")
    add("--timeout", dest="timeout_s", type=at_least(0), default=300.0, metavar="S", help="seconds after the load's "
        "end; a job that has not ended then counts as lost (default: %(default)g)")  # fmt: skip
    add("--input", type=_template, metavar="TEMPLATE", help="the jobs' input, JSON or a text, or @FILE; {n} is the "
        "job's number, {service_s} its seconds of service in a trace (default: a short text; an object with both, if "
        "there are such seconds)")  # fmt: skip
    add("--any-input", dest="check_input", action="store_false", help="a result need not carry its input as it was")
    add("--no-second-look", dest="second_look", action="store_false", help="results are not fetched again in the end")
    add("--api-key", default=os.environ.get("LEADTIME_API_KEY") or None, metavar="KEY", help="(default: "
        "$LEADTIME_API_KEY)")  # fmt: skip
    add("--kubernetes", metavar="NAMESPACE", help="watches the worker pods there, in kubectl's current context")
    add("--name", default="", help="of the run, in tables and plots (default: the load)")
    add("--output", type=_writable, metavar="FILE", help="the run's file (default: one in .bench/runs)")
    return parser


def _template(given: str) -> str:
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"the input {given[1:]!r} can't be read: {error}") from error


def _writable(given: str) -> Path:
    """Where the file goes; that it can is known before the load, not after."""
    output = Path(given)
    if output.is_dir() or not os.access(output.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"no file can be written at {given!r}")
    return output


def _default_output(name: str) -> Path:
    folder = ROOT / ".bench" / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    safe = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:60]
    return Path(os.path.relpath(folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{safe}.json.gz"))


async def _make(plan: LoadPlan) -> tuple[Generator, Run]:
    """The run, with its progress on stderr."""
    async with contextlib.AsyncExitStack() as stack:
        generator = Generator(plan)
        client = await stack.enter_async_context(ServiceClient(plan.url, plan.api_key))
        if error := (await client.get("/healthz")).error:
            raise LoadError(f"{plan.parameters()['url']} does not answer ({error}): is the service up?")
        generator.sources.append(await stack.enter_async_context(QueueSource(plan.url, plan.api_key)))
        if plan.kubernetes:
            generator.sources.append(await stack.enter_async_context(cluster(plan.kubernetes)))
        # Many connections, and few stops for garbage: what is allocated by now stays.
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        async with watched(generator):
            return generator, await generator.run()
