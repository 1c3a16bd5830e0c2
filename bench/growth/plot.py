"""The same as a picture: ratios to the smallest size, the server's time above, the round trip below.

The grey band is the rule's allowance; the dashed line is the control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.growth.cycle import CONTROL, OPERATIONS
from bench.growth.report import verdicts
from bench.growth.verdict import ALLOWANCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from bench.growth.measure import Found

_PARTS = {"server_us": "server's time", "round_trip_us": "round trip"}
_MAIN = dict(zip(("push", "status", "claim", "finish"), ("C0", "C1", "C2", "C3"), strict=True))
_OTHERS = mpl.colormaps["tab20b"]
# Wide enough for what is flat to look so.
_LEAST, _MOST = 0.5, 8.0
_DPI = 130


def plot(found: Sequence[Found], path: Path) -> None:
    """Writes a PNG; a column for each axis."""
    figure = Figure(figsize=(max(8.0, 4.2 * len(found)), 8.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(found), squeeze=False, sharey=True)
    handles: dict[str, Artist] = {}
    for column, one in enumerate(found):
        for row, (part, name) in enumerate(_PARTS.items()):
            panel = panels[row][column]
            _curves(panel, one, part)
            panel.set_title(f"{one.axis.what}: {name}", fontsize=10)
            artists, labels = panel.get_legend_handles_labels()
            handles.update(zip(labels, artists, strict=True))
    for row in panels:
        row[0].set_ylabel("times the smallest size's")
    shown = [operation for operation in OPERATIONS if operation in handles]
    lines = [handles[operation] for operation in shown]
    figure.legend(lines, shown, loc="outside lower center", ncols=8, fontsize=9, frameon=False)
    figure.suptitle(f"What a call costs as the queue grows ({found[0].server})", fontsize=12)
    figure.savefig(path, dpi=_DPI)


def _curves(panel: Axes, found: Found, part: str) -> None:
    sizes = found.axis.sizes
    panel.axhspan(1 - ALLOWANCE, 1 + ALLOWANCE, color="0.92", zorder=0)
    for operation, verdict in verdicts(found, part).items():
        medians = [ratio.median for ratio in verdict.ratios]
        below = [ratio.median - ratio.least for ratio in verdict.ratios]
        above = [ratio.most - ratio.median for ratio in verdict.ratios]
        style = _style(operation)
        panel.errorbar(range(len(sizes)), medians, [below, above], label=operation, elinewidth=0.6, **style)
    panel.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
    panel.set_yscale("log", base=2)
    low, high = panel.get_ylim()
    panel.set_ylim(min(low, _LEAST), max(high, _MOST))
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.grid(axis="y", color="0.85", linewidth=0.5)
    panel.set_axisbelow(True)


def _style(operation: str) -> dict[str, Any]:
    if operation in _MAIN:
        return {"color": _MAIN[operation], "marker": "o", "markersize": 4, "linewidth": 2.0, "zorder": 3}
    if operation == CONTROL:
        return {"color": "black", "linestyle": "--", "linewidth": 1.5, "zorder": 4}
    return {"color": _OTHERS(list(OPERATIONS).index(operation)), "marker": ".", "markersize": 3, "linewidth": 0.9}
