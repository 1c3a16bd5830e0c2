"""What is made of the figures: medians, ratios, bars, the table."""

from __future__ import annotations

import json

import pytest

from bench.contenders import LATENCY, OURS, PEERS, THROUGHPUT
from bench.figures import Bar, Summary, best, percentile, ratios, summary
from bench.gateways import BARE, GATEWAY, Pushes
from bench.report import Run, bars, machine, plain, table
from bench.venvs import REQUIREMENTS
from bench.workers import Drain


def run_of(ours: float, peer: float) -> Run:
    """Three rounds in which all of our figures are `ours` times, and all of the others' `peer` times, the same."""
    run = Run(3, "Valkey 9.1.2")
    run.versions = {OURS: {"arq": "0.28.0", "starlette": "1.0.0"}, "saq": {"saq": "0.26.4"}}
    for contender in THROUGHPUT:
        factor = ours if contender.library == OURS else peer
        run.jobs[contender] = [Drain(factor * n, 0.9, 0.2) for n in (100.0, 300.0, 200.0)]
    for name, factor in ((GATEWAY, ours), (BARE, peer)):
        run.pushes[name] = [Pushes(factor * n, 0.99, 0.1, 0.3) for n in (100.0, 300.0, 200.0)]
    for contender in LATENCY:
        factor = ours if contender.library == OURS else peer
        run.latencies_s[contender] = [[0.001 * factor, 0.002 * factor, 0.009 * factor]] * 3
    return run


def test_summary() -> None:
    assert summary([3.0, 1.0, 2.0]) == Summary(2.0, 1.0, 3.0)


@pytest.mark.parametrize(("percent", "expected"), [(50, 2.0), (75, 3.0), (95, 4.0), (100, 4.0), (1, 1.0)])
def test_percentile_is_one_of_the_figures(percent: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == expected


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([10.0, 40.0, 90.0], [10.0, 20.0, 30.0]) == Summary(2.0, 1.0, 3.0)
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_best_goes_by_the_median() -> None:
    figures = {"steady": [5.0, 5.0, 5.0], "lucky": [1.0, 1.0, 99.0]}
    assert best(figures) == "steady"
    assert best(figures, min) == "lucky"


@pytest.mark.parametrize(
    ("ratio", "below", "met"), [(10.0, False, True), (9.99, False, False), (10.0, True, False), (9.99, True, True)]
)
def test_bar(ratio: float, below: bool, met: bool) -> None:
    assert Bar("jobs", "", Summary(ratio, 0.0, 99.0), 10.0, below).met is met


@pytest.mark.parametrize(
    ("ours", "peer", "met"),
    [(100.0, 10.0, [True, True, False]), (99.0, 10.0, [False, True, False]), (64.0, 100.0, [False, False, True])],
)
def test_bars_follow_the_figures(ours: float, peer: float, met: list[bool]) -> None:
    found = bars(run_of(ours, peer))
    assert [bar.name for bar in found] == ["jobs", "pushes", "latency"]
    assert [bar.met for bar in found] == met
    assert found[0].ratio.median == pytest.approx(ours / peer)


def test_no_bar_without_both_sides() -> None:
    run = Run(1, "Valkey 9.1.2")
    run.jobs[THROUGHPUT[0]] = [Drain(100.0, 1.0, 0.1)]
    assert bars(run) == []
    assert "100 [100 - 100]" in table(run, machine())


def test_table_has_ratios_first_and_says_what_was_measured() -> None:
    run = run_of(99.0, 10.0)
    lines = table(run, machine()).splitlines()
    assert lines[0].split() == ["met", "bar", "ratio"]
    assert lines[1].split()[:7] == ["NO", ">=", "10", "9.90", "[9.90", "-", "9.90]"]
    assert lines[2].split()[:4] == ["yes", ">=", "0.65", "9.90"]
    text = "\n".join(lines)
    for contender in (*THROUGHPUT, *LATENCY):
        assert contender.name in text
    assert "19,800 [9,900 - 29,700]" in text
    for word in ("Valkey 9.1.2", "saq 0.26.4", "starlette 1.0.0", "Python", "cores"):
        assert word in text


def test_json_holds_the_raw_figures() -> None:
    document = json.loads(json.dumps(plain(run_of(99.0, 10.0), machine())))
    assert [bar["met"] for bar in document["bars"]] == [False, True, False]
    assert [d["rate"] for d in document["jobs"][THROUGHPUT[0].name]] == [9900.0, 29700.0, 19800.0]
    assert document["rounds"] == 3


def test_every_peer_has_pinned_requirements() -> None:
    assert {c.library for c in (*THROUGHPUT, *LATENCY)} == {OURS, *PEERS}
    for name in PEERS:
        lines = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        assert all("==" in line for line in lines if not line.startswith("#"))
