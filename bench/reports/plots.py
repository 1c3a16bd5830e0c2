"""Plots of several runs: one picture of each kind, with a panel for each run on the same axes. PNG.

Figures without pyplot are drawn by matplotlib's Agg backend: no display is needed.
"""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from bench.common.runs import OUTCOMES
from bench.reports.series import (
    PERCENTS,
    arrival_rate,
    column,
    end_s,
    in_flight,
    latencies,
    percentiles,
    percentiles_over_time,
)
from bench.reports.summary import summary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from bench.common.runs import Run

_DPI = 110
_BINS = 40
_MOST_COLUMNS = 3
_ALIKE = 2.5
# Okabe and Ito's colours, which people with any colour vision tell apart.
_BLUE, _SKY, _GREEN, _YELLOW, _ORANGE, _RED, _PINK = (
    "#0072b2", "#56b4e9", "#009e73", "#f0e442", "#e69f00", "#d55e00", "#cc79a7",
)  # fmt: skip
_GREY, _LIGHT = "#777777", "#bbbbbb"
_OUTCOME_COLOURS = dict(zip(OUTCOMES, (_GREEN, _SKY, _ORANGE, _LIGHT, _YELLOW, _BLUE, "#000000", _PINK), strict=True))


class Plot(NamedTuple):
    """A picture: `name` is a file's without its ending, `png` its content."""

    name: str
    title: str
    png: bytes


def plots(runs: Sequence[Run], objective_s: float | None = None) -> list[Plot]:
    """All kinds for which there is something to draw."""
    found: list[Plot] = []
    if any(len(latencies(run)[1]) for run in runs):
        found += [
            _panels("latency-histogram", "Latency", runs, _Histogram(runs, objective_s), over_time=False),
            _panels("latency-over-time", "Latency over time (by scheduled time)", runs, _Percentiles(objective_s)),
        ]
    if any(run.pod_s is not None or _any(run.samples.wanted) for run in runs):
        found.append(_panels("replicas", "Replicas over time", runs, _replicas))
    if any(_any(run.samples.waiting) or len(in_flight(run)[0]) for run in runs):
        found.append(_panels("backlog", "Jobs waiting and running", runs, _backlog))
    if any(run.jobs.scheduled_s for run in runs):
        found.append(_panels("arrivals", "Arrivals, and the scaler's forecast of them", runs, _arrivals))
        found.append(_bars("outcomes", "What became of the jobs", runs, _outcomes))
    if any(run.pod_s is not None for run in runs):
        found.append(_bars("pod-seconds", "Pod-seconds", runs, _pod_seconds))
    return found


def _any(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)


def _panels(
    name: str, title: str, runs: Sequence[Run], draw: Callable[[Axes, Run], None], over_time: bool = True
) -> Plot:
    columns = 2 if len(runs) == 4 else min(len(runs), _MOST_COLUMNS)
    rows = math.ceil(len(runs) / columns)
    width = 9.0 if columns == 1 else 5.2 * columns
    figure = Figure(figsize=(width, 0.6 + 3.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=not over_time, sharey=True, squeeze=False)
    for axes, run in zip(grid.flat, runs, strict=False):
        draw(axes, run)
        axes.set_title(plain(run.name), fontsize=10)
        axes.grid(color=_LIGHT, linewidth=0.4)
        axes.tick_params(labelbottom=True, labelleft=True)
    for axes in grid.flat[len(runs) :]:
        axes.set_visible(False)
    grid.flat[0].set_ylim(bottom=0)
    if over_time:
        for axes, end in zip(grid.flat, _ends_s(runs), strict=False):
            axes.set_xlim(0, end)
            axes.set_xlabel("time (s)")
    # What one run lacks, another may show.
    shown = {
        label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if shown:
        figure.legend(
            shown.values(), shown.keys(), loc="outside upper right", ncols=len(shown), fontsize=8, frameon=False
        )
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return Plot(name, title, _png(figure))


def _ends_s(runs: Sequence[Run]) -> list[float]:
    """Where each panel's time ends: at the same for all, unless some would be a sliver then."""
    ends = [end_s(run) or 1.0 for run in runs]
    return [max(ends)] * len(ends) if max(ends) <= _ALIKE * min(ends) else ends


def _bars(name: str, title: str, runs: Sequence[Run], draw: Callable[[Axes, Sequence[Run]], None]) -> Plot:
    figure = Figure(figsize=(9.0, 1.2 + 0.4 * len(runs)), layout="constrained")
    axes = figure.subplots()
    draw(axes, runs)
    axes.set_yticks(range(len(runs)), [plain(run.name) for run in runs])
    axes.invert_yaxis()
    axes.grid(axis="x", color=_LIGHT, linewidth=0.4)
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper right", ncols=8, fontsize=8, frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return Plot(name, title, _png(figure))


def plain(text: str) -> str:
    """A text that is drawn as it is: `$` would begin a formula, and a control character a warning."""
    return "".join(c if c.isprintable() else "?" for c in text).replace("$", r"\$")


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        # A name's letters need not be in the font: they are boxes then.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
        figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return file.getvalue()


class _Histogram:
    """Jobs by latency: the same bins for all runs, of growing width where the latencies are far apart."""

    def __init__(self, runs: Sequence[Run], objective_s: float | None) -> None:
        every = np.concatenate([latencies(run)[1] for run in runs])
        self._objective_s = objective_s
        least, median, most = max(1e-4, every.min()), np.median(every), max(every.max(), 2e-4)
        self._is_wide = most > 20 * median
        self._bins = np.geomspace(least, most, _BINS + 1) if self._is_wide else np.linspace(0, most, _BINS + 1)
        if self._is_wide:
            self._bins[0] = min(self._bins[0], every.min())  # nothing is left out by rounding
            self._bins[-1] = max(self._bins[-1], every.max())

    def __call__(self, axes: Axes, run: Run) -> None:
        _, latency = latencies(run)
        axes.hist(latency, list(self._bins), color=_SKY, edgecolor="white", linewidth=0.3)
        for value, percent, style in zip(percentiles(latency, PERCENTS), PERCENTS, ("-", "--", ":"), strict=True):
            if not math.isnan(value):
                axes.axvline(value, color=_BLUE, linestyle=style, linewidth=1.2, label=f"p{percent}")
        _objective(axes.axvline, self._objective_s)
        if self._is_wide:
            axes.set_xscale("log")
        axes.set_xlabel("latency (s)")
        axes.set_ylabel("jobs")


class _Percentiles:
    def __init__(self, objective_s: float | None) -> None:
        self._objective_s = objective_s

    def __call__(self, axes: Axes, run: Run) -> None:
        times, found = percentiles_over_time(run)
        for values, percent, colour in zip(found.T, PERCENTS, (_BLUE, _ORANGE, _RED), strict=True):
            axes.plot(times, values, color=colour, linewidth=1.3, marker=".", markersize=3, label=f"p{percent}")
        _objective(axes.axhline, self._objective_s)
        _events(axes, run)
        axes.set_ylabel("latency (s)")


def _objective(line: Callable[..., object], objective_s: float | None) -> None:
    if objective_s is not None:
        line(objective_s, color=_GREEN, linewidth=1.0, linestyle="-.", label=f"objective {objective_s:g} s")


def _events(axes: Axes, run: Run) -> None:
    for event in run.events:
        axes.axvline(event["t_s"], color=_GREY, linewidth=0.7, linestyle=":", label="event")


def _replicas(axes: Axes, run: Run) -> None:
    samples = run.samples
    times = column(samples.t_s)
    parts = np.array([column(part) for part in (samples.ready, samples.starting, samples.stopping)])
    if not _any(samples.wanted) and np.isnan(parts).all():
        axes.text(0.5, 0.5, "not seen", transform=axes.transAxes, ha="center", color=_GREY)
        return
    # A look that failed is a gap, and not a time without pods.
    parts = np.where(np.isnan(parts).all(axis=0), np.nan, np.nan_to_num(parts))
    labels, colours = ("ready", "starting", "stopping"), (_GREEN, _YELLOW, _PINK)
    axes.stackplot(times, parts, labels=labels, colors=colours, step="post", alpha=0.85)
    axes.step(times, column(samples.wanted), where="post", color="black", linewidth=1.1, label="wanted")
    _events(axes, run)
    axes.set_ylabel("pods")


def _backlog(axes: Axes, run: Run) -> None:
    samples = run.samples
    times = column(samples.t_s)
    if _any(samples.waiting):
        axes.step(times, column(samples.waiting), where="post", color=_RED, linewidth=1.2, label="waiting")
        axes.step(times, column(samples.running), where="post", color=_GREEN, linewidth=1.2, label="running")
    known_s, count = in_flight(run)
    if len(known_s):
        axes.step(
            known_s, count, where="post", color=_GREY, linewidth=0.9, linestyle="--", label="in flight, for users"
        )
    _events(axes, run)
    axes.set_ylabel("jobs")


def _arrivals(axes: Axes, run: Run) -> None:
    bounds, rate = arrival_rate(run)
    axes.stairs(rate, bounds, color=_BLUE, linewidth=1.2, label="arrivals")
    if _any(run.samples.forecast):
        axes.plot(column(run.samples.t_s), column(run.samples.forecast), color=_ORANGE, linewidth=1.2, label="forecast")
    _events(axes, run)
    axes.set_ylabel("jobs/s")


def _outcomes(axes: Axes, runs: Sequence[Run]) -> None:
    shares = [summary(run) for run in runs]
    left = np.zeros(len(runs))
    every = list(dict.fromkeys([o for o in OUTCOMES if any(o in s.outcomes for s in shares)]))
    every += sorted({o for s in shares for o in s.outcomes} - set(OUTCOMES))
    for outcome in every:
        widths = np.array([100 * s.outcomes.get(outcome, 0) / max(1, s.jobs) for s in shares])
        axes.barh(range(len(runs)), widths, left=left, color=_OUTCOME_COLOURS.get(outcome, _RED), label=plain(outcome))
        left += widths
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of all jobs")


def _pod_seconds(axes: Axes, runs: Sequence[Run]) -> None:
    values = [run.pod_s or 0.0 for run in runs]
    bars = axes.barh(range(len(runs)), values, color=_SKY)
    axes.bar_label(bars, ["" if run.pod_s is None else f"{run.pod_s:,.0f}" for run in runs], padding=3, fontsize=8)
    axes.margins(x=0.12)
    axes.set_xlabel("pod-seconds")
