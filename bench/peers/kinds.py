"""What can be measured: each kind by its name, with those who take part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.peers import measure, serving
from bench.peers.contenders import BATCHED, ENDPOINTS, IDLE, NOOP, OURS, QUICK_MODEL, THROUGHPUT, WAITING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.common.server import BenchServer
    from bench.peers.contenders import Contender
    from bench.peers.measure import Figures, PeersSizes


@dataclass(frozen=True, slots=True)
class Kind:
    """`measure` makes one round of one program; the first of its figures is what programs are compared by."""

    title: str
    measure: Callable[[Contender, BenchServer, PeersSizes], Figures]
    contenders: Sequence[Contender]
    less_is_better: bool = True

    def beside(self, folder: Path) -> list[Contender]:
        """Ours alone, beside the same of another checkout."""
        ours = [one for one in self.contenders if one.library == OURS]
        return [*ours, *(one.of_other_checkout(folder) for one in ours)]


KINDS = {
    "jobs": Kind("No-op jobs/s of one worker, and the shares of a core", measure.jobs, THROUGHPUT, False),
    "pushes": Kind("HTTP pushes/s of one process, and the shares of a core", measure.pushes, ENDPOINTS, False),
    "latency": Kind("Enqueue to start on an idle worker", measure.latency, IDLE),
    "waiting": Kind("Server's memory for 100,000 waiting no-op jobs", measure.waiting, WAITING),
    "resident": Kind("Memory of an idle worker's processes", measure.resident, IDLE),
    "noop-1": Kind("A model that does nothing, 1 client, all on all cores", serving.one_client, NOOP, False),
    "noop-16": Kind("A model that does nothing, 16 clients, all on all cores", serving.sixteen_clients, NOOP, False),
    "20ms-1": Kind("A model that takes 20 ms, 1 client, all on all cores", serving.one_client, QUICK_MODEL, False),
    "20ms-16": Kind(
        "A model that takes 20 ms, 16 clients, all on all cores", serving.sixteen_clients, QUICK_MODEL, False
    ),
    "batched": Kind(
        "A network in numpy, 2,000 requests at once, all on all cores", serving.all_at_once, BATCHED, False
    ),
}
