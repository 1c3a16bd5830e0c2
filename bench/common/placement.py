"""The machine, and which of its cores each process runs on: what is measured has the last core to itself.

The server, the load generator and this program share the others: on two cores, the first.
"""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CORES = frozenset(os.sched_getaffinity(0))
MEASURED = frozenset(sorted(CORES)[-1:])
REST = CORES - MEASURED or CORES


@contextlib.contextmanager
def on(cores: frozenset[int]) -> Iterator[None]:
    """Processes that are started in the block run on these cores; this process is back on its own after it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def machine() -> str:
    """The processor, the cores, the system and Python."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.partition(": ")[2] for line in info.splitlines() if line.startswith("model name")), "")
    return f"{model or platform.machine()}, {len(CORES)} cores, {platform.system()}, Python {platform.python_version()}"


def words() -> str:
    """How processes are placed, for a table."""
    rest = ", ".join(map(str, sorted(REST)))
    return f"the measured process on core {min(MEASURED)}; server and load generator on {rest}"
