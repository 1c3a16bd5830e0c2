"""What is measured against what, and how each is tuned.

A peer is measured with several settings, and its best is what counts. All run on uvloop where they can,
with the C parser for Redis' replies (streaQ's client has one of its own) and orjson where they take it,
and all keep results. Celery acknowledges late and fetches one job at a time, as a service whose jobs are long
must. Their modules in `bench/peers/` say the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Self, TypeVar

from bench.common.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

OURS = "leadtime"
OTHER = "other checkout"
HTTP_PEER = "fastapi-celery"


@dataclass(frozen=True, slots=True)
class Contender:
    """One library with one set of settings: `environment` is what its `module` reads, which runs in `folder`.

    `share` of the jobs of a run are enough for a library that is slow at filling its queue.
    """

    library: str
    settings: str
    environment: Mapping[str, str] = field(hash=False)
    share: float = 0.1
    folder: Path = ROOT

    @property
    def module(self) -> str:
        """Enqueues its jobs, and runs its worker."""
        return f"bench.peers.libraries.with_{OURS if self.library == OTHER else self.library}"

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"{self.library} ({self.settings})" if self.settings else self.library

    def of_other(self, folder: Path) -> Self:
        """The same of another checkout, which `folder` leads to."""
        return replace(self, library=OTHER, folder=folder)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One process that takes pushes over HTTP: `module`, run in the environment of `library`.

    `keeps` is where its pushes are found: one key each, one list (Celery's queue), or nowhere.
    """

    name: str
    library: str
    module: str
    keeps: Literal["keys", "list", "nothing"]
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    folder: Path = ROOT

    def of_other(self, folder: Path) -> Self:
        """The same of another checkout, which `folder` leads to."""
        return replace(self, library=OTHER, name=f"{self.name}, {OTHER}", folder=folder)


Party = TypeVar("Party", Contender, Endpoint)


def _at(library: str, concurrency: int, settings: str = "", share: float = 0.1, **environment: str) -> Contender:
    told = f"{concurrency} at once" + (f", {settings}" if settings else "")
    return Contender(library, told, {"CONCURRENCY": str(concurrency), **environment}, share)


def _celery(settings: str, share: float = 0.1, **environment: str) -> Contender:
    return Contender("celery", settings, environment, share)


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
    _celery("1 process", share=0.04, POOL="prefork"),
    _celery("in the main process", share=0.04, POOL="solo"),
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
    _celery("1 process", POOL="prefork"),
    _celery("in the main process", POOL="solo"),
)

# What the server holds of each waiting no-op job: as each library's client enqueues it. Ours is pushed as the
# gateway does, and counts; the others of ours have in them what a client of the gateway may ask for besides.
WAITING = (
    Contender(OURS, "", {"FUNCTION": "predict"}),
    Contender("arq", "", {}),
    Contender("saq", "", {}),
    Contender("taskiq", "stream, entries alone", {"BROKER": "stream"}),
    Contender("streaq", "", {}),
    Contender("celery", "", {}),
)
WAITING_BESIDES = (
    Contender(OURS, "with an API key", {"FUNCTION": "predict", "OWNED": "1"}),
    Contender(OURS, "with an API key and an Idempotency-Key", {"FUNCTION": "predict", "OWNED": "1", "KEYED": "1"}),
)

# A worker that has run one job and waits for the next: all its processes.
RESIDENT = (
    _at(OURS, 10),
    _at("arq", 10),
    _at("saq", 10),
    _at("taskiq", 10, "stream", BROKER="stream"),
    _at("streaq", 16),
    _celery("1 process", POOL="prefork"),
    _celery("in the main process", POOL="solo"),
)

GATEWAY = Endpoint("gateway", OURS, "gateway", "keys")
BARE = Endpoint("bare endpoint", OURS, "bench.peers.bare", "nothing")


def _with_celery(settings: str, **environment: str) -> Endpoint:
    return Endpoint(
        f"FastAPI + Celery ({settings})", HTTP_PEER, "bench.peers.libraries.fastapi_celery", "list", environment
    )


ENDPOINTS = (
    GATEWAY,
    BARE,
    _with_celery("def", ENDPOINT="def"),
    _with_celery("async def", ENDPOINT="async def"),
    _with_celery("def, no subscriptions", ENDPOINT="def", SUBSCRIBES="0"),
    _with_celery("async def, no subscriptions", ENDPOINT="async def", SUBSCRIBES="0"),
)

PEERS = ("arq", "saq", "taskiq", "streaq", "celery")


def beside_other(parties: Sequence[Party], folder: Path) -> list[Party]:
    """Ours alone, each followed by the same of the checkout whose `gateway` and `workers` are in `folder`."""
    found = []
    for own in parties:
        if own.library == OURS and own != BARE:
            found += [own, own.of_other(folder)]
    return found
