"""What was found, as tables with the ratios first, and as JSON."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from bench.common import placement
from bench.peers.contenders import OURS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.peers.contenders import Contender
    from bench.peers.kinds import Kind
    from bench.peers.measure import Figures

# By column head; what is not named is the share of a core.
_FORMS = {
    "jobs/s": ",.0f",
    "pushes/s": ",.0f",
    "requests/s": ",.0f",
    "p50 ms": ".2f",
    "p95 ms": ".2f",
    "p99 ms": ".2f",
    "MB": ".1f",
}
# Of all packages beside a library, those that matter for its figures.
_SHOWN = (
    "arq", "saq", "taskiq", "taskiq-redis", "streaq", "celery", "kombu", "fastapi", "starlette", "uvicorn", "httptools",
    "litserve", "bentoml", "redis", "coredis", "hiredis", "uvloop", "orjson",
)  # fmt: skip


def spread(figures: Sequence[float], form: str) -> str:
    """The median of at least one figure; behind it, for rates and times, the least and the most."""
    shown = f"{statistics.median(figures):{form}}"
    return shown if form.endswith("%") else f"{shown} [{min(figures):{form}} - {max(figures):{form}}]"


def table(kind: Kind, rounds: Mapping[Contender, Sequence[Figures]]) -> str:
    """The best first. A ratio is ours to another's, round by round: both ran within the same minute."""
    heads = list(next(iter(rounds.values()))[0])
    main = heads[0]
    [base] = [one for one in rounds if one.library == OURS and not one.members]
    ours = rounds[base]
    rows = [("ours is times", *heads, "")]
    by_median = sorted(rounds, key=lambda one: statistics.median(each[main] for each in rounds[one]))
    for one in by_median if kind.less_is_better else reversed(by_median):
        ratios = [own[main] / each[main] for own, each in zip(ours, rounds[one], strict=True)]
        columns = [spread([each[head] for each in rounds[one]], _FORMS.get(head, ".0%")) for head in heads]
        rows.append(("" if one == base else spread(ratios, ".2f"), *columns, one.name))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([kind.title, *(f"  {line}" for line in lines)])


def conditions(server: str, rounds: int, versions: Mapping[str, Mapping[str, str]]) -> str:
    """What the figures were measured on, and with."""
    lines = [
        f"machine   {placement.machine()}",
        f"placement {placement.words()}",
        f"server    {server}, emptied before each measurement",
        f"rounds    {rounds}, all programs in each; medians, with the least and the most in brackets",
    ]
    for library, found in versions.items():
        lines.append(f"{library:9} {', '.join(f'{name} {found[name]}' for name in _SHOWN if name in found)}")
    return "\n".join(lines)


def plain(found: Mapping[str, Mapping[Contender, Sequence[Figures]]]) -> dict[str, Any]:
    """For JSON: the figures of every round, by kind and program."""
    return {kind: {one.name: list(each) for one, each in rounds.items()} for kind, rounds in found.items()}
