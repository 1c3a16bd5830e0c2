"""Tables of several runs, one row a run: for the terminal, and as cells for the page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from bench.common.runs import LATE_S
from bench.reports.summary import in_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.reports.summary import RunSummary


class Table(NamedTuple):
    """Rows of texts below a head; the first column names the run."""

    title: str
    head: list[str]
    rows: list[list[str]]


def table(title: str, rows: Sequence[Mapping[str, str]]) -> Table:
    """Of rows with the same keys, which become the head. A column in which nothing is known is left out."""
    head = [name for i, name in enumerate(rows[0] if rows else ()) if i == 0 or any(row[name] for row in rows)]
    return Table(title, head, [[row[name] for name in head] for row in rows])


def tables(summaries: Sequence[RunSummary]) -> list[Table]:
    """All that say something."""
    outcomes = in_order(outcome for s in summaries for outcome in s.outcomes)
    latency = [
        {
            "run": s.name, "p50": seconds(s.p50_s), "p95": seconds(s.p95_s), "p99": seconds(s.p99_s),
            "most": seconds(s.most_s), "mean": seconds(s.mean_s), "to start p50": seconds(s.start_p50_s),
            "to start p95": seconds(s.start_p95_s), f"within {s.objective_s or 0:g} s": percent(s.within),
        }
        for s in summaries
    ]  # fmt: skip
    account = [
        {
            "run": s.name, "jobs": f"{s.jobs:,}", **{each: f"{s.outcomes.get(each, 0):,}" for each in outcomes},
            "refused with": ", ".join(f"{code}: {n:,}" for code, n in s.refusals.items()),
            "more than one attempt": f"{s.retried:,}", f"sent > {1000 * LATE_S:g} ms late": percent(s.late),
        }
        for s in summaries
    ]  # fmt: skip
    workers = [
        {
            "run": s.name, "pod-seconds": number(s.pod_s),
            "pod-seconds a job": seconds(s.pod_s / (s.outcomes.get("finished") or math.nan)),
            "most pods": number(s.most_pods), "most waiting": number(s.most_waiting),
        }
        for s in summaries
    ]  # fmt: skip
    found = (
        table("Latency in seconds, from a job's scheduled time to its known end (of those that finished)", latency),
        table("What became of the jobs", account),
        table("Workers and queue", workers),
    )
    return [each for each in found if len(each.head) > 1]


def seconds(value: float) -> str:
    """Three digits that mean something; empty for NaN."""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "never"
    digits = 3 if value == 0 else max(0, min(4, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:,.{digits}f}"


def number(value: float, digits: int = 0) -> str:
    """With so many digits behind the point; empty for NaN."""
    return "" if math.isnan(value) else f"{value:,.{digits}f}"


def percent(value: float) -> str:
    """Of a share; empty for NaN. 100 % is all of it, 0 % none of it."""
    if math.isnan(value):
        return ""
    return f"{100 * value:.0f} %" if value in (0, 1) else f"{min(99.9, max(0.1, 100 * value)):.1f} %"


def text(found: Sequence[Table]) -> str:
    """For the terminal."""
    return "\n\n".join(_text(table) for table in found)


def _text(table: Table) -> str:
    lines = [[printable(cell) for cell in line] for line in (table.head, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    return "\n".join([table.title, *(f"  {line}" for line in shown)])


def printable(text: str) -> str:
    """Without control characters: a name in a file must not move the cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)
