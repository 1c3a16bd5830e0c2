"""`python -m bench load`: reads the command line, makes the run, prints what it found and writes its file."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import re
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from yarl import URL

from bench.common.arguments import DEFAULT_URL, at_least, url
from bench.common.arrivals import PROCESSES, SHAPES, LoadError
from bench.common.processes import ROOT, BenchError
from bench.common.runs import write
from bench.load import self_test
from bench.load.client import Client
from bench.load.generator import Generator
from bench.load.inputs import InputError
from bench.load.live import watched
from bench.load.observer import Gateway, ObserverError, cluster
from bench.load.plan import Plan
from bench.reports.summary import summary
from bench.reports.table import tables, text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from bench.common.runs import Run

RUNS = ROOT / ".bench" / "runs"
API_KEY = "LEADTIME_API_KEY"
_seconds = at_least(0.001)
_EPILOG = f"""loads, each perhaps with a factor (ramping*3):
  {(chr(10) + "  ").join(SHAPES.values())}

The first SIGINT ends the sending, and what is in flight gets some seconds; the second ends it at once. The file is
written either way. Exit code: 0; 1 if a job was lost or duplicated, or had another's result; 2 if there was no run.
"""


class UsageError(Exception):
    """Why there is no run, in one sentence."""


def main() -> None:
    """Ends the process with the exit code."""
    options = _parser().parse_args()
    try:
        sys.exit(_run(options))
    except (UsageError, LoadError, InputError, ObserverError, BenchError) as error:
        print(f"bench load: {error}", file=sys.stderr)
        sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench load",
        description="Sends a load to the service, open loop, and accounts for every job.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("load", nargs="?", metavar="LOAD", help="a shape and its numbers, see below (constant:2, ramping, trace:FILE)")
    add("--url", default=DEFAULT_URL, type=url, help="of the service (default: %(default)s)")
    add(
        "--duration",
        type=_seconds,
        metavar="S",
        help="seconds that jobs are sent for (default: 60, or all of a trace)",
    )
    add("--process", choices=PROCESSES, default="poisson", help="of the arrivals (default: %(default)s)")
    add("--seed", type=int, default=1, help="of the arrivals (default: %(default)s)")
    add("--poll", type=_seconds, metavar="S", help="users ask every S seconds and give up after 60 polls, as the old "
        "client did (default: they wait by long poll)")  # fmt: skip
    add("--push-only", action="store_true", help="users push and are done")
    add("--persist", action="store_true", help="a push that is answered with 503 is sent again, with the same key")
    add("--timeout", type=at_least(0), default=300.0, metavar="S", help="seconds after the load's end; a job that "
        "has not ended then counts as lost (default: %(default)g)")  # fmt: skip
    add("--input", metavar="TEMPLATE", help="the jobs' input, JSON or a text, or @FILE; {n} is the job's number, "
        "{service_s} its seconds of service in a trace (default: a short text; an object with both, if there are such "
        "seconds)")  # fmt: skip
    add("--any-input", action="store_true", help="a result need not carry its input as it was")
    add("--no-second-look", action="store_true", help="results are not fetched again in the end")
    add("--api-key", default=os.environ.get(API_KEY), metavar="KEY", help=f"(default: ${API_KEY})")
    add("--kubernetes", metavar="NAMESPACE", help="watches the worker pods there, in kubectl's current context")
    add("--name", default="", help="of the run, in tables and plots (default: the load)")
    add("--output", type=Path, metavar="FILE", help="the run's file (default: one in .bench/runs)")
    add("--self-test", action="store_true", help="measures the generator itself, against a server that does nothing "
        f"(default: {self_test.LOAD} for {self_test.DURATION_S:g} s)")  # fmt: skip
    add("--own-gateway", action="store_true", help="the same against a gateway without workers, started for it on "
        "another core; users only push")  # fmt: skip
    return parser


def _run(options: argparse.Namespace) -> int:
    plan, output = _plan(options), _output(options)
    with contextlib.ExitStack() as stack:
        target = None
        if options.self_test or options.own_gateway:
            start = self_test.null_server if options.self_test else self_test.own_gateway
            target = stack.enter_context(start())
            plan = replace(plan, url=target.url, kubernetes=None)
        _prepare()
        generator, run = _loop()(_make(plan, is_service=not options.self_test))
        write(run, output)
        if target:
            print(self_test.overhead(generator, target), end="\n\n")
    print(text(tables([summary(run)])), end="\n\n")
    for note in run.notes:
        print(note)
    print(f"\nThe run is in {output}: `python -m bench report {output}` makes its plots.")
    return 0 if generator.account.is_clean and not generator.errors else 1


def _plan(options: argparse.Namespace) -> Plan:
    itself = options.self_test or options.own_gateway
    load = options.load or (self_test.LOAD if itself else None)
    if load is None:
        raise UsageError("what load? For one, constant:2; --help tells all")
    if options.api_key and URL(options.url).user:
        raise UsageError("an API key and a URL with a name in it are two ways to say who one is: give one")
    default_s = self_test.DURATION_S if itself else None if load.startswith("trace:") else 60.0
    return Plan(
        load=load,
        url=options.url,
        duration_s=options.duration or default_s,
        process=options.process,
        seed=options.seed,
        name=options.name or ("self-test" if itself else ""),
        input=_template(options.input),
        poll_s=options.poll,
        timeout_s=options.timeout,
        push_only=options.push_only or options.own_gateway,
        persist=options.persist,
        second_look=not options.no_second_look,
        check_input=not options.any_input,
        kubernetes=options.kubernetes,
        api_key=options.api_key or None,
    )


def _template(given: str | None) -> str | None:
    if given is None or not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"the input {given[1:]!r} can't be read: {error}") from error


def _output(options: argparse.Namespace) -> Path:
    """Where the file goes; that it can is known before the load, not after."""
    if options.output is None:
        RUNS.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^A-Za-z0-9.]+", "-", options.name or options.load or "self-test").strip("-.")[:60]
        return Path(os.path.relpath(RUNS / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}.json.gz"))
    output: Path = options.output
    if output.is_dir() or not os.access(output.parent, os.W_OK):
        raise UsageError(f"no file can be written at {str(output)!r}")
    return output


def _prepare() -> None:
    """Many connections, and few stops for garbage: what is allocated by now stays."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _loop() -> Callable[[Coroutine[None, None, tuple[Generator, Run]]], tuple[Generator, Run]]:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


async def _make(plan: Plan, is_service: bool) -> tuple[Generator, Run]:
    """The run, with its live view."""
    async with contextlib.AsyncExitStack() as stack:
        generator = Generator(plan)
        if is_service:
            await _answers(plan)
            generator.sources.append(await stack.enter_async_context(Gateway(plan.url)))
        if plan.kubernetes:
            generator.sources.append(await stack.enter_async_context(cluster(plan.kubernetes)))
        async with watched(generator):
            return generator, await generator.run()


async def _answers(plan: Plan) -> None:
    async with Client(plan.url, plan.api_key) as client:
        answer = await client.get("/healthz")
    if not answer.status:
        raise UsageError(f"{plan.parameters()['url']} does not answer ({answer.error}): is the service up?")


if __name__ == "__main__":
    main()
