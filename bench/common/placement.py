"""Which core each process runs on.

What is measured has the last core to itself. All that it is measured with (the server, the load generator,
this program) shares the others: on two cores, the first. A bare endpoint is placed just like the gateway.
Latency is measured on an idle machine and placed by the system.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CORES = frozenset(os.sched_getaffinity(0))
MEASURED = frozenset(sorted(CORES)[-1:])
REST = CORES - MEASURED or CORES


@contextlib.contextmanager
def on(cores: frozenset[int]) -> Iterator[None]:
    """Processes that are started inside run on these cores; this one is back on its own behind it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def words() -> str:
    """For the table."""
    if len(CORES) == 1:
        return "one core for everything: rates are lower than with two, and so are the ratios"
    rest = ", ".join(map(str, sorted(REST)))
    return f"the measured process alone on core {min(MEASURED)}; server and load generator on {rest}"
