"""What a comparison found, as a table and as JSON: ratios first, then the figures behind them."""

from __future__ import annotations

import itertools
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.common import placement
from bench.common.figures import Bar, Summary, percentile, ratios, summary
from bench.peers.contenders import BARE, GATEWAY, HTTP_PEER, OTHER, OURS, Contender, Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.peers.gateways import Pushes
    from bench.peers.workers import Drain

JOBS_BAR = 10.0
BARE_BAR = 0.65
HTTP_BAR = 10.0
LATENCY_BAR = 1.0
WAITING_BAR = 1.0
# Noise allowed between two checkouts of this project.
OTHER_BAR = 0.95
LEAN_PEER = "arq"
_SHOWN = (
    "arq", "saq", "taskiq", "taskiq-redis", "streaq", "celery", "kombu", "fastapi", "starlette", "uvicorn", "httptools",
    "redis", "coredis", "hiredis", "uvloop", "orjson",
)  # fmt: skip

K = TypeVar("K", Contender, Endpoint)


@dataclass(slots=True)
class Run:
    """Raw figures: one list item a round. Latencies are in seconds, one inner list a round; memory is in bytes.

    `waiting_jobs` is how many were enqueued to find what each of them takes. `other` names the other checkout.
    """

    rounds: int
    server: str
    waiting_jobs: int = 0
    other: str = ""
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    jobs: dict[Contender, list[Drain]] = field(default_factory=dict)
    pushes: dict[Endpoint, list[Pushes]] = field(default_factory=dict)
    latencies_s: dict[Contender, list[list[float]]] = field(default_factory=dict)
    waiting_bytes: dict[Contender, list[float]] = field(default_factory=dict)
    resident_bytes: dict[Contender, list[int]] = field(default_factory=dict)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8").splitlines() if info.exists() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "cores": len(placement.CORES),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _rates(run: Run) -> dict[Contender, list[float]]:
    return {c: [d.rate for d in drains] for c, drains in run.jobs.items()}


def _push_rates(run: Run) -> dict[Endpoint, list[float]]:
    return {e: [p.rate for p in found] for e, found in run.pushes.items()}


def _p50s_s(run: Run) -> dict[Contender, list[float]]:
    return {c: [percentile(s, 50) for s in rounds] for c, rounds in run.latencies_s.items()}


def best_of(figures: Mapping[K, Sequence[float]], *libraries: str, less: bool = False) -> K | None:
    """The one of these libraries with the best median; None if none of them was measured."""
    there = [one for one in figures if one.library in libraries]
    pick = min if less else max
    return pick(there, key=lambda one: summary(figures[one]).median) if there else None


def bars(run: Run) -> list[Bar]:
    """One for each kind of measurement that has both sides."""
    if run.other:
        return [
            *_other_bars("jobs/s", _rates(run)),
            *_other_bars("pushes/s", _push_rates(run)),
            *_other_bars("p50 of enqueue to start", _p50s_s(run), less=True),
            *_other_bars("memory of a waiting job", run.waiting_bytes, less=True),
            *_other_bars("memory of an idle worker", run.resident_bytes, less=True),
        ]
    return [bar for bar in (_jobs_bar(run), *_pushes_bars(run), _latency_bar(run), _waiting_bar(run)) if bar]


def _other_bars(what: str, figures: Mapping[K, Sequence[float]], less: bool = False) -> Iterator[Bar]:
    """Each of ours to the same of the other checkout."""
    there = list(figures)
    for ours, other in itertools.pairwise(there):
        if (ours.library, other.library) == (OURS, OTHER):
            told = f"{what}, {ours.name}, to the other checkout's"
            ratio = ratios(figures[ours], figures[other])
            yield Bar(what, told, ratio, 1 / OTHER_BAR, "<=") if less else Bar(what, told, ratio, OTHER_BAR)


def _jobs_bar(run: Run) -> Bar | None:
    rates = _rates(run)
    ours, peer = best_of(rates, OURS), best_of(rates, *_peers(rates))
    if not (ours and peer):
        return None
    what = f"jobs/s of one worker, {ours.name}, to the best peer's, {peer.name}"
    return Bar("jobs", what, ratios(rates[ours], rates[peer]), JOBS_BAR)


def _pushes_bars(run: Run) -> list[Bar]:
    rates = _push_rates(run)
    found = []
    if GATEWAY in rates and BARE in rates:
        what = "pushes/s of one gateway to a bare endpoint's"
        found.append(Bar("pushes", what, ratios(rates[GATEWAY], rates[BARE]), BARE_BAR))
    peer = best_of(rates, HTTP_PEER)
    if GATEWAY in rates and peer:
        what = f"pushes/s of one gateway to the best of {peer.name}"
        found.append(Bar("pushes beside Celery", what, ratios(rates[GATEWAY], rates[peer]), HTTP_BAR))
    return found


def _latency_bar(run: Run) -> Bar | None:
    p50s_s = _p50s_s(run)
    ours, peer = best_of(p50s_s, OURS, less=True), best_of(p50s_s, *_peers(p50s_s), less=True)
    if not (ours and peer):
        return None
    what = f"p50 of enqueue to start, to the best peer's, {peer.name}"
    return Bar("latency", what, ratios(p50s_s[ours], p50s_s[peer]), LATENCY_BAR, "<")


def _waiting_bar(run: Run) -> Bar | None:
    # The first of ours is what the gateway pushes; the others have more in them.
    ours = next((c for c in run.waiting_bytes if c.library == OURS and not c.settings), None)
    peer = best_of(run.waiting_bytes, LEAN_PEER)
    if not (ours and peer):
        return None
    what = f"memory of a waiting job, to {peer.name}'s, the leanest that keeps as much of it"
    return Bar("memory", what, ratios(run.waiting_bytes[ours], run.waiting_bytes[peer]), WAITING_BAR, "<=")


def _peers(figures: Mapping[K, Sequence[float]]) -> set[str]:
    return {one.library for one in figures} - {OURS}


def table(run: Run, on: dict[str, Any]) -> str:
    """For people. Medians of the rounds, with the least and the most in brackets."""
    parts = [_bars(bars(run)), _jobs(run), _pushes(run), _latencies(run), _waiting(run), _resident(run)]
    return "\n\n".join(part for part in [*parts, _conditions(run, on)] if part)


def _bars(found: list[Bar]) -> str:
    cells = [("yes" if b.met else "NO", f"{b.sense} {b.wanted:.3g}", spread(b.ratio, ".2f"), b.what) for b in found]
    return rows(("met", "bar", "ratio", ""), cells) if cells else ""


def _beside(figures: Mapping[K, Sequence[float]], ours: K | None, one: K, form: str = ".2f") -> str:
    """Ours to another's, round by round."""
    if ours is None or one.library == OURS:
        return ""
    return spread(ratios(figures[ours], figures[one]), form)


def _sorted(figures: Mapping[K, Sequence[float]], less: bool = False) -> list[K]:
    return sorted(figures, key=lambda one: summary(figures[one]).median, reverse=not less)


def _jobs(run: Run) -> str:
    rates = _rates(run)
    ours = best_of(rates, OURS)
    cells = [
        (_beside(rates, ours, c), spread(summary(rates[c]), ",.0f"), c.name, *_shares(run.jobs[c], "process", "server"))
        for c in _sorted(rates)
    ]
    head = ("ours is times", "jobs/s", "", "worker", "redis")
    title = "No-op jobs/s of one worker, and how much of a core its processes and the server took"
    return f"{title}\n{rows(head, cells)}" if cells else ""


def _pushes(run: Run) -> str:
    rates = _push_rates(run)
    ours = GATEWAY if GATEWAY in rates else None
    cells = [
        (
            spread(ratios(rates[ours], rates[e]), ".2f") if ours and e is not ours else "",
            spread(summary(rates[e]), ",.0f"),
            e.name,
            *_shares(run.pushes[e], "process", "server", "load"),
        )
        for e in _sorted(rates)
    ]
    head = ("ours is times", "pushes/s", "", "its core", "redis", "load generator")
    return f"HTTP pushes/s of one process, and how much of a core each took\n{rows(head, cells)}" if cells else ""


def _latencies(run: Run) -> str:
    p50s_s = _p50s_s(run)
    ours = best_of(p50s_s, OURS, less=True)
    cells = [
        (
            _beside(p50s_s, ours, c),
            *(spread(summary([1000 * percentile(s, p) for s in run.latencies_s[c]]), ".2f") for p in (50, 95)),
            c.name,
        )
        for c in _sorted(p50s_s, less=True)
    ]
    head = ("ours is times", "p50", "p95", "")
    return f"Enqueue to start on an idle worker, in ms\n{rows(head, cells)}" if cells else ""


def _waiting(run: Run) -> str:
    figures = run.waiting_bytes
    ours = next((c for c in figures if c.library == OURS and not c.settings), None)
    cells = [
        (_beside(figures, ours, c), spread(summary([b / 10 for b in figures[c]]), ".1f"), c.name)
        for c in _sorted(figures, less=True)
    ]
    title = f"Server's memory for 100,000 waiting no-op jobs, in MB (measured with {run.waiting_jobs:,})"
    return f"{title}\n{rows(('ours is times', 'MB', ''), cells)}" if cells else ""


def _resident(run: Run) -> str:
    figures = run.resident_bytes
    ours = best_of(figures, OURS, less=True)
    cells = [
        (_beside(figures, ours, c), spread(summary([b / 1e6 for b in figures[c]]), ".1f"), c.name)
        for c in _sorted(figures, less=True)
    ]
    title = "Memory of an idle worker's processes, in MB (what they share counts once)"
    return f"{title}\n{rows(('ours is times', 'MB', ''), cells)}" if cells else ""


def _conditions(run: Run, on: dict[str, Any]) -> str:
    lines = [
        f"machine   {on['processor']}, {on['cores']} cores, {on['system']}, Python {on['python']}, "
        f"load average before {on['load_average']}",
        f"placement {placement.words()}",
        f"server    {run.server}, in memory only, emptied between runs",
        f"rounds    {run.rounds}, all programs in each; a ratio is the median of the rounds' ratios",
    ]
    if run.other:
        lines.append(f"{OTHER:9} {run.other}")
    for library, versions in run.versions.items():
        lines.append(f"{library:9} {', '.join(f'{n} {versions[n]}' for n in _SHOWN if n in versions)}")
    return "\n".join(lines)


def _shares(found: Sequence[Drain | Pushes], *parts: str) -> list[str]:
    return [f"{summary([getattr(one, part) for one in found]).median:.0%}" for part in parts]


def spread(s: Summary, form: str) -> str:
    """The median, and the least and the most in brackets, each as `form` says."""
    return f"{s.median:{form}} [{s.least:{form}} - {s.most:{form}}]"


def rows(head: tuple[str, ...], cells: Sequence[tuple[str, ...]]) -> str:
    """Columns as wide as they must be, under their heads."""
    widths = [max(len(row[i]) for row in (head, *cells)) for i in range(len(head))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *cells)
    )


def plain(run: Run, on: dict[str, Any]) -> dict[str, Any]:
    """For JSON: everything, in the units of the names."""
    return {
        "machine": on,
        "placement": placement.words(),
        "server": run.server,
        "rounds": run.rounds,
        "other": run.other,
        "versions": run.versions,
        "bars": [bar.plain() for bar in bars(run)],
        "jobs": {c.name: [asdict(d) for d in drains] for c, drains in run.jobs.items()},
        "pushes": {e.name: [asdict(p) for p in found] for e, found in run.pushes.items()},
        "latencies_s": {c.name: rounds for c, rounds in run.latencies_s.items()},
        "waiting_jobs": run.waiting_jobs,
        "waiting_bytes_per_job": {c.name: rounds for c, rounds in run.waiting_bytes.items()},
        "resident_bytes": {c.name: rounds for c, rounds in run.resident_bytes.items()},
    }
