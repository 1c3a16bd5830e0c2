"""What a run shows while it goes on: a live view on a terminal, a line every few seconds anywhere else."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import TextIO

    from bench.load.generator import Generator

_REFRESH_S = 0.5
_LINE_S = 5.0
_ERRORS = ("failed", "cancelled", "given up", "refused", "lost", "duplicated")
_PHASES = {
    "sending": "sending",
    "waiting": "all sent, waiting for the ends",
    "looking again": "looking at all results again",
    "over": "over",
}


def facts(generator: Generator) -> dict[str, str]:
    """What there is to say now, by its name."""
    account, seen = generator.account, generator.observer.latest
    found = {
        "sent": f"{account.sent:,} of {len(generator.arrivals):,}",
        "in flight": f"{account.in_flight:,}",
        "finished": f"{account.outcomes['finished']:,}",
        "errors": _errors(generator),
    }
    if generator.plan.push_only:
        found["accepted"] = f"{account.outcomes['accepted']:,}"
        del found["finished"]
    values = account.percentiles_s(50, 95, 99)
    if values[0] is not None:
        found["p50/p95/p99"] = " / ".join(f"{value:.3g}" for value in values) + " s"
    if "waiting" in seen:
        found["queue"] = f"{seen['waiting']:.0f} waiting, {seen['running']:.0f} running"
    if "ready" in seen:
        found["replicas"] = (
            f"{seen['ready']:.0f} ready, {seen['starting']:.0f} starting, {seen['stopping']:.0f} stopping, "
            f"{seen['wanted']:.0f} wanted"
        )
    elif "workers" in seen:
        found["workers"] = f"{seen['workers']:.0f}"
    return found


def _errors(generator: Generator) -> str:
    account = generator.account
    counts = [f"{account.outcomes[outcome]:,} {outcome}" for outcome in _ERRORS if account.outcomes[outcome]]
    if account.refusals:
        codes = sorted(("no answer" if code is None else str(code), n) for code, n in account.refusals.items())
        counts.append("refused with " + ", ".join(f"{code}: {n:,}" for code, n in codes))
    return "; ".join(counts) or "0"


def _share_done(generator: Generator) -> float:
    """Of what its phase has to do, 0 to 1."""
    account = generator.account
    match generator.phase:
        case "sending":
            return min(1.0, generator.clock() / generator.duration_s) if generator.duration_s else 1.0
        case "waiting":
            return 1 - account.in_flight / max(1, len(account.jobs))
        case "looking again":
            look = generator.second_look
            return look.done / max(1, len(look.jobs)) if look else 0.0
        case _:
            return 1.0


def _view(generator: Generator) -> Group:
    head = Text(f"{generator.plan.title}: {_PHASES[generator.phase]}", style="bold")
    head.append(f"  {generator.clock():.0f} s of {generator.duration_s:g} s", style="not bold")
    if generator.interrupted:
        head.append("  interrupted (again: at once)", style="yellow")
    rows = Table.grid(padding=(0, 2))
    for name, value in facts(generator).items():
        rows.add_row(Text(name, style="dim"), Text(value))
    return Group(head, ProgressBar(total=1.0, completed=_share_done(generator), width=60), rows)


def _line(generator: Generator) -> str:
    said = "  ".join(f"{name} {value}" for name, value in facts(generator).items())
    return f"{generator.clock():.0f} s, {_PHASES[generator.phase]}: {said}"


async def show(generator: Generator, stream: TextIO) -> None:
    """Until it is cancelled; then once more."""
    console = Console(file=stream)
    if not console.is_terminal:
        await _lines(generator, stream)
        return
    with Live(_view(generator), console=console, auto_refresh=False) as live:
        try:
            while True:
                live.update(_view(generator), refresh=True)
                await asyncio.sleep(_REFRESH_S)
        finally:
            live.update(_view(generator), refresh=True)


async def _lines(generator: Generator, stream: TextIO) -> None:
    try:
        while True:
            await asyncio.sleep(_LINE_S)
            print(_line(generator), file=stream, flush=True)
    finally:
        print(_line(generator), file=stream, flush=True)


@contextlib.asynccontextmanager
async def shown(generator: Generator) -> AsyncIterator[None]:
    """Shows the run on stderr while the block goes on."""
    view = asyncio.create_task(show(generator, sys.stderr))
    try:
        yield
    finally:
        view.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await view


@contextlib.asynccontextmanager
async def watched(generator: Generator) -> AsyncIterator[None]:
    """The same; SIGINT and SIGTERM interrupt the run from here on."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, generator.interrupt)
    async with shown(generator):
        yield
