"""The tables and the JSON of a measurement of growth."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bench.common import placement
from bench.common.figures import Summary, summary
from bench.growth.cycle import BY_DESIGN, CONTROL, OPERATIONS
from bench.growth.verdict import FASTER, Verdict, judge
from bench.peers.report import rows, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.growth.measure import Found, Sizes
    from bench.growth.meter import Cost


def verdicts(found: Found, part: str = "server_us") -> dict[str, Verdict]:
    """Of each operation along an axis, by the server's time, or by `round_trip_us`."""
    figures = {
        operation: {size: [getattr(cost, part) for cost in rounds] for size, rounds in by_size.items()}
        for operation, by_size in found.costs.items()
    }
    return {operation: judge(by_size, figures[CONTROL]) for operation, by_size in figures.items()}


def defects(found: Sequence[Found]) -> list[str]:
    """What grows faster than it may."""
    return [
        f"{operation} with the number of {one.axis.what}"
        for one in found
        for operation, verdict in verdicts(one).items()
        if verdict.word == FASTER and (one.axis.name, operation) not in BY_DESIGN
    ]


def table(found: Sequence[Found], on: dict[str, Any], sizes: Sizes) -> str:
    """For people: what grows faster first, then a table for each axis."""
    bad = defects(found)
    head = "Grows faster than the logarithm: " + ("; ".join(bad) if bad else "nothing that may not")
    parts = [head]
    for one in found:
        parts += [_costs(one), *([_idle(one)] if one.wakeups else [])]
    return "\n\n".join([*parts, _conditions(found, on, sizes)])


def _costs(found: Found) -> str:
    sizes = found.axis.sizes
    server, trips = verdicts(found), verdicts(found, "round_trip_us")
    cells = []
    for operation, by_size in found.costs.items():
        first = by_size[sizes[0]]
        note = BY_DESIGN.get((found.axis.name, operation), "") if server[operation].word == FASTER else ""
        cells.append(
            (
                operation,
                server[operation].word,
                *(_ratio(ratio) for ratio in server[operation].ratios[1:]),
                _us(first, "server_us"),
                *(f"{ratio.median:.2f}" for ratio in trips[operation].ratios[1:]),
                _us(first, "round_trip_us"),
                note,
            )
        )
    at = [f"x at {size:,}" for size in sizes[1:]]
    head = ("", "server's time", *at, f"us at {sizes[0]}", *at, f"us at {sizes[0]}", "")
    title = f"{found.axis.what.capitalize()}: the server's time and the round trip of a call, as ratios to {sizes[0]}"
    return f"{title} ({found.server})\n" + rows(head, cells)


def _ratio(ratio: Summary) -> str:
    return spread(ratio, ".2f")


def _us(costs: Sequence[Cost], part: str) -> str:
    return f"{summary([getattr(cost, part) for cost in costs]).median:.1f}"


def _idle(found: Found) -> str:
    cells = []
    for size in found.axis.sizes:
        woken, paces = found.wakeups[size], found.pace[size]
        cells.append(
            (
                f"{size:,}",
                spread(summary([one.woken for one in woken]), ".2f"),
                spread(summary([one.calls for one in woken]), ".2f"),
                spread(summary([one.start_us for one in woken]), ",.0f"),
                spread(summary([100 * one.server for one in paces]), ".2f"),
                f"{summary([one.calls_per_s for one in paces]).median:,.0f}",
            )
        )
    head = ("workers", "woken by a push", "calls for a job", "push to claimed, us", "% of a core while idle", "calls/s")
    return "Idle workers: one push, and none\n" + rows(head, cells)


def _conditions(found: Sequence[Found], on: dict[str, Any], sizes: Sizes) -> str:
    lines = [
        f"machine   {on['processor']}, {on['cores']} cores, {on['system']}, Python {on['python']}, "
        f"load average before {on['load_average']}",
        f"placement {_placement()}",
        f"server    {found[0].server if found else ''}, in memory only, one for each size",
        f"rounds    {sizes.rounds} of {sizes.cycles} calls of each kind, all sizes of an axis in turns; a ratio is the "
        "median of the rounds' ratios",
    ]
    return "\n".join(lines)


def _placement() -> str:
    rest, own = (", ".join(map(str, sorted(cores))) for cores in (placement.REST, placement.MEASURED))
    return f"the servers on core {rest}; this program, with the light workers, on {own}"


def plain(found: Sequence[Found], on: dict[str, Any], sizes: Sizes) -> dict[str, Any]:
    """For JSON: everything, in the units of the names."""
    return {
        "machine": on,
        "placement": _placement(),
        "measured": asdict(sizes),
        "operations": OPERATIONS,
        "defects": defects(found),
        "axes": [
            {
                **asdict(one.axis),
                "server": one.server,
                "costs": {
                    operation: {str(size): [asdict(cost) for cost in rounds] for size, rounds in by_size.items()}
                    for operation, by_size in one.costs.items()
                },
                "verdicts": {operation: asdict(verdict) for operation, verdict in verdicts(one).items()},
                "wakeups": {str(size): [asdict(w) for w in rounds] for size, rounds in one.wakeups.items()},
                "pace": {str(size): [asdict(p) for p in rounds] for size, rounds in one.pace.items()},
            }
            for one in found
        ],
    }
