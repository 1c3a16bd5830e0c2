"""What a run found, as a table and as JSON: ratios first, then the figures behind them."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import placement
from bench.contenders import OURS, Contender
from bench.figures import Bar, Summary, best, percentile, ratios, summary
from bench.gateways import BARE, GATEWAY, Pushes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.workers import Drain

JOBS_BAR = 10.0
PUSHES_BAR = 0.65
LATENCY_BAR = 1.0
_SHOWN = ("arq", "saq", "taskiq", "taskiq-redis", "streaq", "celery", "redis", "coredis", "hiredis", "uvloop", "orjson")
_SHOWN_OF_OURS = (*_SHOWN, "starlette", "uvicorn", "httptools")


@dataclass(slots=True)
class Run:
    """Raw figures: one list item a round. Latencies are in seconds, one inner list a round."""

    rounds: int
    server: str
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    jobs: dict[Contender, list[Drain]] = field(default_factory=dict)
    pushes: dict[str, list[Pushes]] = field(default_factory=dict)
    latencies_s: dict[Contender, list[list[float]]] = field(default_factory=dict)


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


def bars(run: Run) -> list[Bar]:
    """One for each kind of measurement that has both sides."""
    found = []
    ours, peers = _split({c: [d.rate for d in drains] for c, drains in run.jobs.items()})
    if ours and peers:
        mine, theirs = best(ours), best(peers)
        what = f"jobs/s of one worker, {mine}, to the best peer's, {theirs}"
        found.append(Bar("jobs", what, ratios(ours[mine], peers[theirs]), JOBS_BAR))
    if run.pushes:
        gateway, bare = ([p.rate for p in run.pushes[name]] for name in (GATEWAY, BARE))
        found.append(Bar("pushes", "pushes/s of one gateway to a bare endpoint's", ratios(gateway, bare), PUSHES_BAR))
    ours, peers = _split({c: [percentile(s, 50) for s in rounds] for c, rounds in run.latencies_s.items()})
    if ours and peers:
        mine, theirs = best(ours, min), best(peers, min)
        what = f"p50 of enqueue to start, to the best peer's, {theirs}"
        found.append(Bar("latency", what, ratios(ours[mine], peers[theirs]), LATENCY_BAR, below=True))
    return found


def _split(figures: dict[Contender, list[float]]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    ours = {c.name: values for c, values in figures.items() if c.library == OURS}
    return ours, {c.name: values for c, values in figures.items() if c.library != OURS}


def table(run: Run, on: dict[str, Any]) -> str:
    """For people. Medians of the rounds, with the least and the most in brackets."""
    parts = [_bars(bars(run)), _jobs(run), _pushes(run), _latencies(run), _conditions(run, on)]
    return "\n\n".join(part for part in parts if part)


def _bars(found: list[Bar]) -> str:
    rows = [
        ("yes" if b.met else "NO", f"{'<' if b.below else '>='} {b.wanted:g}", _spread(b.ratio, ".2f"), b.what)
        for b in found
    ]
    return _rows(("met", "bar", "ratio", ""), rows) if rows else ""


def _jobs(run: Run) -> str:
    if not run.jobs:
        return ""
    rows = [
        (_spread(summary([d.rate for d in drains]), ",.0f"), c.name, *_shares(drains, "process", "server"))
        for c, drains in run.jobs.items()
    ]
    head = ("jobs/s", "", "its core", "redis")
    return "No-op jobs/s of one worker process, and how much of a core it and the server took\n" + _rows(head, rows)


def _pushes(run: Run) -> str:
    if not run.pushes:
        return ""
    rows = [
        (_spread(summary([p.rate for p in found]), ",.0f"), name, *_shares(found, "process", "server", "load"))
        for name, found in run.pushes.items()
    ]
    head = ("pushes/s", "", "its core", "redis", "load generator")
    return "HTTP pushes/s of one process, and how much of a core each took\n" + _rows(head, rows)


def _latencies(run: Run) -> str:
    if not run.latencies_s:
        return ""
    rows = [
        (*(_spread(summary([1000 * percentile(s, p) for s in rounds]), ".2f") for p in (50, 95)), c.name)
        for c, rounds in run.latencies_s.items()
    ]
    return "Enqueue to start on an idle worker, in ms\n" + _rows(("p50", "p95", ""), rows)


def _conditions(run: Run, on: dict[str, Any]) -> str:
    lines = [
        f"machine   {on['processor']}, {on['cores']} cores, {on['system']}, Python {on['python']}, "
        f"load average before {on['load_average']}",
        f"placement {placement.words()}",
        f"server    {run.server}, in memory only, emptied between runs",
        f"rounds    {run.rounds}, all programs in each; a ratio is the median of the rounds' ratios",
    ]
    for library, versions in run.versions.items():
        shown = [f"{n} {versions[n]}" for n in (_SHOWN_OF_OURS if library == OURS else _SHOWN) if n in versions]
        lines.append(f"{library:9} {', '.join(shown)}")
    return "\n".join(lines)


def _shares(found: Sequence[Drain | Pushes], *parts: str) -> list[str]:
    return [f"{summary([getattr(one, part) for one in found]).median:.0%}" for part in parts]


def _spread(s: Summary, form: str) -> str:
    return f"{s.median:{form}} [{s.least:{form}} - {s.most:{form}}]"


def _rows(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )


def plain(run: Run, on: dict[str, Any]) -> dict[str, Any]:
    """For JSON: everything, in the units of the names."""
    return {
        "machine": on,
        "placement": placement.words(),
        "server": run.server,
        "rounds": run.rounds,
        "versions": run.versions,
        "bars": [bar.plain() for bar in bars(run)],
        "jobs": {c.name: [asdict(d) for d in drains] for c, drains in run.jobs.items()},
        "pushes": {name: [asdict(p) for p in found] for name, found in run.pushes.items()},
        "latencies_s": {c.name: rounds for c, rounds in run.latencies_s.items()},
    }
