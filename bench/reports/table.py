"""Tables of several runs, one row a run: for the terminal, and as cells for the page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from bench.common.runs import LATE_S, OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.reports.summary import Summary


class Table(NamedTuple):
    """Rows of texts below a head; the first column names the run."""

    title: str
    head: list[str]
    rows: list[list[str]]


def tables(summaries: Sequence[Summary]) -> list[Table]:
    """All there are to show; a column in which nothing is known is left out."""
    objective_s = summaries[0].objective_s if summaries else None
    latency = Table(
        "Latency in seconds, from a job's scheduled time to its known end (of those that finished)",
        ["run", "p50", "p95", "p99", "most", "mean", "to start p50", "p95"]
        + ([] if objective_s is None else [f"within {objective_s:g} s"]),
        [
            [s.name, *map(seconds, (s.p50_s, s.p95_s, s.p99_s, s.most_s, s.mean_s, s.start_p50_s, s.start_p95_s))]
            + ([] if objective_s is None else [percent(s.within)])
            for s in summaries
        ],
    )
    workers = Table(
        "Workers and queue",
        ["run", "pod-seconds", "pod-seconds a job", "most pods", "most waiting"],
        [
            [
                s.name,
                number(s.pod_s),
                seconds(s.pod_s / s.outcomes["finished"] if s.outcomes.get("finished") else math.nan),
                number(s.most_pods),
                number(s.most_waiting),
            ]
            for s in summaries
        ],
    )
    return [
        _without_empty_columns(table) for table in (latency, _account(summaries), workers) if _says_something(table)
    ]


def _account(summaries: Sequence[Summary]) -> Table:
    outcomes = [o for o in OUTCOMES if any(o in s.outcomes for s in summaries)]
    outcomes += sorted({o for s in summaries for o in s.outcomes} - set(OUTCOMES))
    return Table(
        "What became of the jobs",
        ["run", "jobs", *outcomes, "refused with", "more than one attempt", f"sent > {1000 * LATE_S:g} ms late"],
        [
            [
                s.name,
                f"{s.jobs:,}",
                *(f"{s.outcomes.get(outcome, 0):,}" for outcome in outcomes),
                ", ".join(f"{code}: {n:,}" for code, n in s.refusals.items()),
                f"{s.retried:,}",
                percent(s.late),
            ]
            for s in summaries
        ],
    )


def _says_something(table: Table) -> bool:
    return any(any(row[1:]) for row in table.rows)


def _without_empty_columns(table: Table) -> Table:
    kept = [i for i in range(len(table.head)) if i == 0 or any(row[i] for row in table.rows)]
    return Table(table.title, [table.head[i] for i in kept], [[row[i] for i in kept] for row in table.rows])


def seconds(value: float) -> str:
    """Three digits that mean something; empty for NaN."""
    if math.isnan(value):
        return ""
    digits = 3 if value == 0 else max(0, min(4, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:,.{digits}f}"


def number(value: float) -> str:
    """Whole; empty for NaN."""
    return "" if math.isnan(value) else f"{value:,.0f}"


def percent(value: float) -> str:
    """Of a share; empty for NaN. 100 % is all of it, 0 % none of it."""
    if math.isnan(value):
        return ""
    return f"{100 * value:.0f} %" if value in (0, 1) else f"{min(99.9, max(0.1, 100 * value)):.1f} %"


def text(found: Sequence[Table]) -> str:
    """For the terminal."""
    return "\n\n".join(_text(table) for table in found)


def _text(table: Table) -> str:
    lines = [[_printable(cell) for cell in line] for line in (table.head, *table.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.head))]
    shown = [
        "  "
        + "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([table.title, *shown])


def _printable(cell: str) -> str:
    """A name in a file must not move the cursor."""
    return "".join(c if c.isprintable() else "?" for c in cell)
