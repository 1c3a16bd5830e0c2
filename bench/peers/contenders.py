"""Who takes part in `python -m bench peers`, and how each is tuned.

A peer is measured with the settings that were best for it of those tried. All run on uvloop where they can, with the C
parser for Redis' replies (streaQ's client has one of its own) and orjson where they take it, and all keep results.
Celery acknowledges late and fetches one job at a time, as a service whose jobs are long must.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from bench.common.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OURS = "leadtime"
OTHER = "other checkout"
_LIBRARIES = "bench.peers.libraries"


@dataclass(frozen=True, slots=True)
class Contender:
    """A program with one set of settings: `python -m ARGUMENTS` in `folder`, with the packages of `library`.

    `share` of a run's jobs are enough for a library that is slow at filling its queue. What is pushed over HTTP is an
    object of so many `members`, or a text if there are none; if `is_checked`, a schema of that object is published.
    A model is served at `path`.
    """

    name: str
    library: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(hash=False)
    share: float = 0.1
    folder: Path = ROOT
    members: int = 0
    is_checked: bool = False
    path: str = ""

    def of_other_checkout(self, folder: Path) -> Self:
        """The same program of another checkout, whose `gateway` and `workers` are in `folder`."""
        return replace(self, name=f"{self.name} of the other checkout", library=OTHER, folder=folder)

    def with_processes(self, count: int) -> Self:
        """The same with so many model processes, if it is ours and serves a model."""
        if self.library not in (OURS, OTHER) or not self.path:
            return self
        told = {**self.environment, "CONCURRENCY": str(count)}
        return replace(self, name=f"{self.name} ({count} processes)", environment=told)


def _worker(library: str, settings: str = "", share: float = 0.1, **environment: str) -> Contender:
    name = f"{library} ({settings})" if settings else library
    module = "with_taskiq" if library == "taskiq" else "workers"
    return Contender(name, library, (f"{_LIBRARIES}.{module}", library), environment, share)


def _at(library: str, concurrency: int, settings: str = "", share: float = 0.1, **environment: str) -> Contender:
    told = f"{concurrency} at once{settings and ', '}{settings}"
    return _worker(library, told, share, CONCURRENCY=str(concurrency), **environment)


_CELERY = (_worker("celery", "1 process", 0.04, POOL="prefork"), _worker("celery", "main process", 0.04, POOL="solo"))

# No-op jobs per second. arq's default poll delay of 0.5 s costs it most of its throughput.
THROUGHPUT = (
    _at(OURS, 100, share=1.0),
    _at("arq", 50, "poll delay 1 ms", POLL_DELAY_S="0.001"),
    _at("saq", 50),
    _at("taskiq", 20, "stream", BROKER="stream"),
    _at("taskiq", 100, "list", BROKER="list"),
    _at("streaq", 8),
    *_CELERY,
)
# Enqueue-to-start on an idle worker, and the worker's memory. No poll delay is shorter than is sane on a laptop.
IDLE = (
    _at(OURS, 10),
    _at("arq", 10, "default poll delay 500 ms", POLL_DELAY_S="0.5"),
    _at("arq", 10, "poll delay 10 ms", POLL_DELAY_S="0.01"),
    _at("saq", 10),
    _at("taskiq", 10, "stream", BROKER="stream"),
    _at("taskiq", 10, "list", BROKER="list"),
    _at("streaq", 16),
    *_CELERY,
)
# What the server holds of each waiting no-op job, as each library's client enqueues it; ours as the gateway does.
WAITING = (
    _worker(OURS, FUNCTION="predict"),
    _worker("arq"),
    _worker("saq"),
    _worker("taskiq", "stream, entries alone", BROKER="stream"),
    _worker("streaq"),
    _worker("celery"),
)
BARE = Contender("bare endpoint", "bare", (f"{_LIBRARIES}.bare",), {})
_HTTP_PEER = ("fastapi-celery", (f"{_LIBRARIES}.fastapi_celery",))
ENDPOINTS = (
    Contender("gateway", OURS, ("gateway",), {}),
    Contender("gateway, 20 members", OURS, ("gateway",), {}, members=20),
    Contender("gateway, 20 members, checked", OURS, ("gateway",), {}, members=20, is_checked=True),
    BARE,
    Contender("FastAPI + Celery", *_HTTP_PEER, {}),
    Contender("FastAPI + Celery (no subscriptions)", *_HTTP_PEER, {"SUBSCRIBES": "0"}),
)


def _serving(model: str, litserve: Mapping[str, Mapping[str, str]], **environment: str) -> tuple[Contender, ...]:
    """Ours, and LitServe with several settings. All have one model process."""
    told = {"MODEL": f"{_LIBRARIES}.served:{model}", **environment}
    peers = (
        Contender(name, "litserve", (f"{_LIBRARIES}.with_litserve",), {**told, **settings}, path="/predict")
        for name, settings in litserve.items()
    )
    return Contender(OURS, OURS, ("gateway",), told, path="/push?wait=60"), *peers


def _sleeping(call_s: float) -> tuple[Contender, ...]:
    told = {"CALL_S": str(call_s), "BENTOML_DO_NOT_TRACK": "True"}
    bentoml = Contender("BentoML", "bentoml", (f"{_LIBRARIES}.with_bentoml",), told, path="/predict")
    return *_serving("Sleeper", {"LitServe": {}, "LitServe (fast queue)": {"FAST": "1"}}, **told), bentoml


NOOP, QUICK_MODEL = _sleeping(0), _sleeping(0.02)
_IN_BATCHES = {"BATCH": "64", "BATCH_WAIT_S": "0.005"}
BATCHED = _serving(
    "Network",
    {"LitServe": _IN_BATCHES, "LitServe (fast queue)": {**_IN_BATCHES, "FAST": "1"}},
    OPENBLAS_NUM_THREADS="1",
)
