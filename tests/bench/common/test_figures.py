"""What is made of the figures: medians, ratios, bars, the table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bench.common.figures import Bar, Summary, percentile, ratios, summary
from bench.peers.contenders import (
    BARE,
    ENDPOINTS,
    GATEWAY,
    HTTP_PEER,
    LATENCY,
    OURS,
    PEERS,
    RESIDENT,
    THROUGHPUT,
    WAITING,
    WAITING_BESIDES,
    Contender,
    Endpoint,
)
from bench.peers.gateways import Pushes
from bench.peers.report import Run, bars, best_of, machine, plain, table
from bench.peers.venvs import REQUIREMENTS
from bench.peers.workers import Drain

if TYPE_CHECKING:
    from typing import Literal


def run_of(ours: float, peer: float) -> Run:
    """Three rounds in which all of our figures are `ours` times, and all of the others' `peer` times, the same."""

    def factor(one: Contender | Endpoint) -> float:
        return ours if one.library == OURS and one is not BARE else peer

    run = Run(3, "Valkey 9.1.2", waiting_jobs=100_000)
    run.versions = {OURS: {"arq": "0.28.0", "starlette": "1.0.0"}, "saq": {"saq": "0.26.4"}}
    for contender in THROUGHPUT:
        run.jobs[contender] = [Drain(factor(contender) * n, 0.9, 0.2) for n in (100.0, 300.0, 200.0)]
    for endpoint in ENDPOINTS:
        run.pushes[endpoint] = [Pushes(factor(endpoint) * n, 0.99, 0.1, 0.3) for n in (100.0, 300.0, 200.0)]
    for contender in LATENCY:
        run.latencies_s[contender] = [[n * factor(contender) for n in (0.001, 0.002, 0.009)]] * 3
    for contender in (*WAITING, *WAITING_BESIDES):
        run.waiting_bytes[contender] = [factor(contender) * n for n in (2.0, 2.0, 2.0)]
    for contender in RESIDENT:
        run.resident_bytes[contender] = [round(1e6 * factor(contender))] * 3
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
    steady, lucky, other = THROUGHPUT[0], THROUGHPUT[1], THROUGHPUT[2]
    figures = {steady: [5.0, 5.0, 5.0], lucky: [1.0, 1.0, 99.0], other: [7.0, 7.0, 7.0]}
    assert best_of(figures, OURS) is steady
    assert best_of(figures, OURS, less=True) is lucky
    assert best_of(figures, OURS, other.library) is other
    assert best_of(figures, "no such library") is None


@pytest.mark.parametrize(
    ("ratio", "sense", "met"),
    [
        (10.0, ">=", True),
        (9.99, ">=", False),
        (10.0, "<", False),
        (9.99, "<", True),
        (10.0, "<=", True),
        (10.01, "<=", False),
    ],
)
def test_bar(ratio: float, sense: Literal[">=", "<", "<="], met: bool) -> None:
    assert Bar("jobs", "", Summary(ratio, 0.0, 99.0), 10.0, sense).met is met


@pytest.mark.parametrize(
    ("ours", "peer", "met"),
    [
        (100.0, 10.0, [True, True, True, False, False]),
        (99.0, 10.0, [False, True, False, False, False]),
        (64.0, 100.0, [False, False, False, True, True]),
        (10.0, 10.0, [False, True, False, False, True]),
    ],
)
def test_bars_follow_the_figures(ours: float, peer: float, met: list[bool]) -> None:
    found = bars(run_of(ours, peer))
    assert [bar.name for bar in found] == ["jobs", "pushes", "pushes beside Celery", "latency", "memory"]
    assert [bar.met for bar in found] == met
    assert [bar.ratio.median for bar in found] == pytest.approx([ours / peer] * 5)


def test_memory_is_that_of_a_plain_push_beside_the_leanest_peer_that_keeps_as_much() -> None:
    run = run_of(1.0, 1.0)
    for contender in run.waiting_bytes:
        lean = {"taskiq": 10.0, "arq": 40.0, OURS: 90.0 if contender.settings else 20.0}
        run.waiting_bytes[contender] = [lean.get(contender.library, 50.0)]
    [bar] = [bar for bar in bars(run) if bar.name == "memory"]
    assert bar.ratio.median == 0.5


def test_no_bar_without_both_sides() -> None:
    run = Run(1, "Valkey 9.1.2")
    run.jobs[THROUGHPUT[0]] = [Drain(100.0, 1.0, 0.1)]
    run.pushes[GATEWAY] = [Pushes(100.0, 1.0, 0.1, 0.1)]
    assert bars(run) == []
    assert "100 [100 - 100]" in table(run, machine())


def test_table_has_ratios_first_and_says_what_was_measured() -> None:
    run = run_of(99.0, 10.0)
    lines = table(run, machine()).splitlines()
    assert lines[0].split() == ["met", "bar", "ratio"]
    assert lines[1].split()[:7] == ["NO", ">=", "10", "9.90", "[9.90", "-", "9.90]"]
    assert lines[2].split()[:4] == ["yes", ">=", "0.65", "9.90"]
    text = "\n".join(lines)
    for one in (*THROUGHPUT, *ENDPOINTS, *LATENCY, *WAITING, *WAITING_BESIDES, *RESIDENT):
        assert one.name in text
    assert "19,800 [9,900 - 29,700]" in text
    assert [line for line in lines if line.startswith("  9.90 [9.90 - 9.90]") and "saq (20 at once)" in line]
    for word in ("Valkey 9.1.2", "saq 0.26.4", "starlette 1.0.0", "Python", "cores"):
        assert word in text


def test_json_holds_the_raw_figures() -> None:
    document = json.loads(json.dumps(plain(run_of(99.0, 10.0), machine())))
    assert [bar["met"] for bar in document["bars"]] == [False, True, False, False, False]
    assert [d["rate"] for d in document["jobs"][THROUGHPUT[0].name]] == [9900.0, 29700.0, 19800.0]
    assert document["rounds"] == 3


def test_every_peer_has_pinned_requirements() -> None:
    libraries = {one.library for one in (*THROUGHPUT, *ENDPOINTS, *LATENCY, *WAITING, *RESIDENT)}
    assert libraries == {OURS, HTTP_PEER, *PEERS}
    for name in libraries - {OURS}:
        lines = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        assert all("==" in line for line in lines if not line.startswith("#"))
