"""What a run shows on stderr while it goes on: one line, renewed in place on a terminal, and added to anywhere else."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.load.generator import Generator


def line(generator: Generator) -> str:
    """The state of the run."""
    account, seen = generator.account, generator.observer.latest
    said = (
        f"{generator.clock():.0f} s of {generator.duration_s:g}, {generator.phase}: sent {account.sent:,} of "
        f"{len(generator.arrivals):,}, {account.in_flight:,} in flight"
    )
    said += "".join(f", {count:,} {outcome}" for outcome, count in account.outcomes.items() if count)
    if "waiting" in seen:
        said += f"; queue {seen['waiting']} waiting, {seen['running']} running"
    if "ready" in seen:
        said += "; pods {ready} ready, {starting} starting, {stopping} stopping, {wanted} wanted".format(**seen)
    elif "workers" in seen:
        said += f"; workers {seen['workers']}"
    return said


async def _show(generator: Generator) -> None:
    """Shows the line again and again until it is cancelled, and then once more."""
    on_terminal = sys.stderr.isatty()
    begin, end, every_s = ("\r\x1b[K", "", 0.5) if on_terminal else ("", "\n", 2.0)
    try:
        while True:
            await asyncio.sleep(every_s)
            width = shutil.get_terminal_size().columns - 1 if on_terminal else None
            print(begin + line(generator)[:width], end=end, file=sys.stderr, flush=True)
    finally:
        print(begin + line(generator), file=sys.stderr, flush=True)


@contextlib.asynccontextmanager
async def watched(generator: Generator, signals: bool = True) -> AsyncIterator[None]:
    """Shows the run on stderr while the block goes on; SIGINT and SIGTERM interrupt it from here on, if wanted."""
    for number in (signal.SIGINT, signal.SIGTERM) if signals else ():
        asyncio.get_running_loop().add_signal_handler(number, generator.interrupt)
    task = asyncio.create_task(_show(generator))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
