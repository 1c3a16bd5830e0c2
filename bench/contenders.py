"""What is measured against what, and how each is tuned.

A peer is measured with several settings, and its best is what counts. All run on uvloop where they can,
with the C parser for Redis' replies (streaQ's client has one of its own) and orjson where they take it,
and all keep results. Their modules in `bench/peers/` say the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

OURS = "leadtime"


@dataclass(frozen=True, slots=True)
class Contender:
    """One library with one set of settings: `environment` is what `bench.peers.with_{library}` reads.

    `share` of the jobs of a run are enough for a library that is slow at filling its queue.
    """

    library: str
    settings: str
    environment: Mapping[str, str] = field(hash=False)
    share: float = 0.1

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"{self.library} ({self.settings})" if self.settings else self.library


def _at(library: str, concurrency: int, settings: str = "", share: float = 0.1, **environment: str) -> Contender:
    told = f"{concurrency} at once" + (f", {settings}" if settings else "")
    return Contender(library, told, {"CONCURRENCY": str(concurrency), **environment}, share)


# No-op jobs per second. More at once brought none of them anything.
THROUGHPUT = (
    _at(OURS, 100, share=1.0),
    _at(OURS, 500, share=1.0),
    # arq's default poll delay of 0.5 s costs it most of its throughput.
    _at("arq", 10, "poll delay 1 ms", POLL_DELAY_S="0.001"),
    _at("arq", 50, "poll delay 1 ms", POLL_DELAY_S="0.001"),
    _at("saq", 20),
    _at("saq", 50),
    _at("taskiq", 20, "stream", BROKER="stream"),
    _at("taskiq", 100, "stream", BROKER="stream"),
    _at("taskiq", 100, "list", BROKER="list"),
    _at("streaq", 8),
    _at("streaq", 16),
)

# Enqueue-to-start on an idle worker: nobody polls more often than is sane on a laptop.
LATENCY = (
    _at(OURS, 10),
    _at("arq", 10, "default poll delay 500 ms", POLL_DELAY_S="0.5"),
    _at("arq", 10, "poll delay 10 ms", POLL_DELAY_S="0.01"),
    _at("saq", 10),
    _at("taskiq", 10, "stream", BROKER="stream"),
    _at("taskiq", 10, "list", BROKER="list"),
    _at("streaq", 16),
    Contender("celery", "1 process", {"CONCURRENCY": "1"}),
)

PEERS = ("arq", "saq", "taskiq", "streaq", "celery")
