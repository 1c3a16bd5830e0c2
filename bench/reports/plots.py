"""Plots of several runs: one picture of each kind, with a panel for each run on the same axes. PNG.

Figures without pyplot are drawn by matplotlib's Agg backend: no display is needed.
"""

from __future__ import annotations

import io
import math
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bench.common.figures import percentiles
from bench.reports import series
from bench.reports.series import PERCENTS, column, in_flight, latencies
from bench.reports.table import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.common.runs import Run
    from bench.reports.series import Floats

_DPI = 110
_BINS = 40
_MOST_COLUMNS = 3
# Panels share one time axis, unless the longest run lasts this many times as long as the shortest.
_ALIKE = 2.5
# Okabe and Ito's colours, which people with any colour vision tell apart.
_BLUE, _SKY, _GREEN, _YELLOW, _ORANGE, _RED, _PINK = (
    "#0072b2", "#56b4e9", "#009e73", "#f0e442", "#e69f00", "#d55e00", "#cc79a7",
)  # fmt: skip
_GREY, _LIGHT = "#777777", "#bbbbbb"


class Plot(NamedTuple):
    """A picture: `name` is a file's without its ending, `png` its content."""

    name: str
    title: str
    png: bytes


def plots(runs: Sequence[Run], objective_s: float | None = None) -> list[Plot]:
    """All kinds for which there is something to draw."""
    found: list[Plot] = []
    latency = np.concatenate([latencies(run)[1] for run in runs])
    if len(latency):
        histogram = partial(_histogram, bins=_bins(latency), objective_s=objective_s)
        over_time = partial(_percentiles, objective_s=objective_s)
        found.append(_panels("latency-histogram", "Latency", runs, histogram, over_time=False))
        found.append(_panels("latency-over-time", "Latency over time (by scheduled time)", runs, over_time))
    if any(run.pod_s is not None or _any(run.samples.wanted) for run in runs):
        found.append(_panels("replicas", "Replicas over time", runs, _replicas))
    if any(_any(run.samples.waiting) or len(in_flight(run)[0]) for run in runs):
        found.append(_panels("backlog", "Jobs waiting and running", runs, _backlog))
    if any(run.jobs.scheduled_s for run in runs):
        found.append(_panels("arrivals", "Arrivals, and the scaler's forecast of them", runs, _arrivals))
    return found


def picture(runs: Sequence[Run]) -> bytes:
    """What a scaler foresaw and did: a column for each run, arrivals above replicas above backlog. PNG."""
    draws = (_arrivals, _replicas, _backlog)
    figure = _figure(figsize=(7.5 * len(runs), 2.6 * len(draws)), layout="constrained")
    grid = figure.subplots(len(draws), len(runs), sharex="col", sharey="row", squeeze=False)
    for panels, run in zip(grid.T, runs, strict=True):
        for axes, draw in zip(panels, draws, strict=True):
            draw(axes, run)
            axes.grid(color=_LIGHT, linewidth=0.4)
            axes.legend(loc="upper right", fontsize=7, frameon=False)
        panels[0].set_title(_plain(run.name), fontsize=10)
        panels[-1].set_xlim(0, series.end_s(run) or 1.0)
        panels[-1].set_xlabel("time (s)")
    for axes in grid.flat:
        axes.set_ylim(bottom=0)
    return _png(figure)


def _any(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)


def _panels(
    name: str, title: str, runs: Sequence[Run], draw: Callable[[Axes, Run], None], over_time: bool = True
) -> Plot:
    columns = 2 if len(runs) == 4 else min(len(runs), _MOST_COLUMNS)
    rows = math.ceil(len(runs) / columns)
    figure = _figure(figsize=(9.0 if columns == 1 else 5.2 * columns, 0.6 + 3.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=not over_time, sharey=True, squeeze=False).flat
    ends_s = [series.end_s(run) or 1.0 for run in runs]
    for axes, run, own_s in zip(grid, runs, ends_s, strict=False):
        draw(axes, run)
        axes.set_title(_plain(run.name), fontsize=10)
        axes.grid(color=_LIGHT, linewidth=0.4)
        axes.tick_params(labelbottom=True, labelleft=True)
        if over_time:
            axes.set_xlim(0, max(ends_s) if max(ends_s) <= _ALIKE * min(ends_s) else own_s)
            axes.set_xlabel("time (s)")
    for axes in grid[len(runs) :]:
        axes.set_visible(False)
    grid[0].set_ylim(bottom=0)
    # What one panel lacks, another may show.
    labels = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in figure.axes]
    if shown := {label: handle for each in labels for handle, label in each}:
        more: dict[str, Any] = {"loc": "outside upper right", "ncols": len(shown), "fontsize": 8, "frameon": False}
        figure.legend(shown.values(), shown.keys(), **more)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return Plot(name, title, _png(figure))


def _plain(name: str) -> str:
    # `$` would begin a formula, and a control character a warning.
    return printable(name).replace("$", r"\$")


def _figure(**options: Any) -> Figure:
    from matplotlib.figure import Figure  # takes a second

    return Figure(**options)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        # A name's letters need not be in the font: they are boxes then.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
        figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return file.getvalue()


def _bins(latency: Floats) -> Floats:
    """The same for all runs; of growing width if the latencies are far apart."""
    least, most = max(1e-4, latency.min()), max(latency.max(), 2e-4)
    if most <= 20 * np.median(latency):
        return np.linspace(0, most, _BINS + 1)
    bins = np.geomspace(least, most, _BINS + 1)
    # Nothing is left out by rounding.
    bins[0], bins[-1] = min(bins[0], latency.min()), max(bins[-1], latency.max())
    return bins


def _histogram(axes: Axes, run: Run, *, bins: Floats, objective_s: float | None) -> None:
    _, latency = latencies(run)
    axes.hist(latency, list(bins), color=_SKY, edgecolor="white", linewidth=0.3)
    for value, percent, style in zip(percentiles(latency, PERCENTS), PERCENTS, ("-", "--", ":"), strict=True):
        if not math.isnan(value):
            axes.axvline(value, color=_BLUE, linestyle=style, linewidth=1.2, label=f"p{percent}")
    _objective(axes.axvline, objective_s)
    if bins[0] > 0:
        axes.set_xscale("log")
    axes.set_xlabel("latency (s)")
    axes.set_ylabel("jobs")


def _percentiles(axes: Axes, run: Run, *, objective_s: float | None) -> None:
    times, found = series.percentiles_over_time(run)
    for values, percent, colour in zip(found.T, PERCENTS, (_BLUE, _ORANGE, _RED), strict=True):
        axes.plot(times, values, color=colour, linewidth=1.3, marker=".", markersize=3, label=f"p{percent}")
    _objective(axes.axhline, objective_s)
    _finish(axes, run, "latency (s)")


def _objective(line: Callable[..., object], objective_s: float | None) -> None:
    if objective_s is not None:
        line(objective_s, color=_GREEN, linewidth=1.0, linestyle="-.", label=f"objective {objective_s:g} s")


def _finish(axes: Axes, run: Run, unit: str) -> None:
    for event in run.events:
        axes.axvline(event["t_s"], color=_GREY, linewidth=0.7, linestyle=":", label="event")
    axes.set_ylabel(unit)


def _replicas(axes: Axes, run: Run) -> None:
    seen = run.samples
    parts = np.array([column(part) for part in (seen.ready, seen.starting, seen.stopping)])
    if not _any(seen.wanted) and np.isnan(parts).all():
        axes.text(0.5, 0.5, "not seen", transform=axes.transAxes, ha="center", color=_GREY)
        return
    # A look that failed is a gap, and not a time without pods.
    parts = np.where(np.isnan(parts).all(axis=0), np.nan, np.nan_to_num(parts))
    labels, colours = ("ready", "starting", "stopping"), (_GREEN, _YELLOW, _PINK)
    axes.stackplot(column(seen.t_s), parts, labels=labels, colors=colours, step="post", alpha=0.85)
    _step(axes, seen.t_s, seen.wanted, "wanted", "black")
    _finish(axes, run, "pods")


def _backlog(axes: Axes, run: Run) -> None:
    seen = run.samples
    if _any(seen.waiting):
        _step(axes, seen.t_s, seen.waiting, "waiting", _RED)
        _step(axes, seen.t_s, seen.running, "running", _GREEN)
    known_s, count = in_flight(run)
    if len(known_s):
        axes.step(known_s, count, "--", where="post", color=_GREY, linewidth=0.9, label="in flight, for users")
    _finish(axes, run, "jobs")


def _step(axes: Axes, times_s: Sequence[float], values: Sequence[float | None], label: str, colour: str) -> None:
    axes.step(column(times_s), column(values), where="post", color=colour, linewidth=1.2, label=label)


def _arrivals(axes: Axes, run: Run) -> None:
    bounds, rate = series.arrival_rate(run)
    axes.stairs(rate, bounds, color=_BLUE, linewidth=1.2, label="arrivals")
    if _any(run.samples.forecast):
        seen = run.samples
        times_s, forecast, spread = column(seen.t_s), column(seen.forecast), column(seen.spread)
        axes.plot(times_s, forecast, color=_ORANGE, linewidth=1.2, label="forecast")
        if _any(run.samples.spread):
            band = (np.maximum(0, forecast - spread), forecast + spread)
            axes.fill_between(times_s, *band, color=_ORANGE, alpha=0.25, linewidth=0, label="its spread")
    _finish(axes, run, "jobs/s")
