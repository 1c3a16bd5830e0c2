"""The simulated cluster: jobs, pods, and what a rule sees of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.common.arrivals import Arrival, LoadError, arrivals, parse
from bench.common.runs import read, write
from bench.reports.series import latencies
from bench.simulation.actuation import DirectActuation, KedaActuation
from bench.simulation.cluster import READY, PodSpec, SimulatedCluster, simulate
from bench.simulation.rules import DelayedOff, JobCount, Knative, RuleDecision, View
from bench.simulation.times import Times, constant, exponential, lognormal
from bench.simulation.times import parse as parse_times
from bench.simulation.work import Work, work

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.simulation.rules import Rule
    from bench.simulation.work import Result


@dataclass
class Script:
    """Asks for the given numbers of replicas, one a second, and for the last of them from then on."""

    replicas: list[int]
    seen: list[View] = field(default_factory=list)

    def decide(self, view: View) -> RuleDecision:
        self.seen.append(replace(view))
        return RuleDecision(self.replicas[min(len(self.seen), len(self.replicas)) - 1], reason="as the script says")


def jobs(*pairs: tuple[float, float], duration_s: float = 0.0) -> Work:
    """Of (arrival, service)."""
    return work([Arrival(*pair) for pair in pairs], constant(1), duration_s, 0)


def script(load: Work, *replicas: int, pods: PodSpec | None = None, sample_s: float | None = None) -> Result:
    return simulate(
        load, pods or PodSpec(constant(10)), Script([*replicas]), DirectActuation(), limits=(0, 50), sample_s=sample_s
    )


def test_jobs_are_served_in_their_order_by_pods_that_are_ready() -> None:
    result = script(jobs((1, 5), (2, 5), (3, 7), (4, 1)), 2)
    # Two pods are ordered at 0 and ready at 10.
    assert result.claimed_s == [10, 10, 15, 15]
    assert result.finished_s == [15, 15, 22, 16]
    assert result.latencies_s == [14, 13, 19, 12]
    assert (result.end_s, result.pod_s, result.starts, result.peak) == (22, 44, 2, 2)
    assert result.within(9) == 0.5
    assert result.within(12) == 1.0


def test_a_pod_is_paid_from_its_order_until_it_is_gone() -> None:
    """The idle one goes when it is told to, the busy one after its job."""
    result = script(jobs((0, 5.5)), *[2] * 11, 0, pods=PodSpec(constant(10)))
    assert result.pod_s == 11 + 15.5


def test_a_starting_pod_that_is_cancelled_was_paid_and_never_serves() -> None:
    result = script(jobs((0, 1), duration_s=30), 3, 3, 3, 3, 1, pods=PodSpec(constant(10)))
    assert result.pod_s == 4 + 4 + 30
    assert result.finished_s == [11]


def test_a_job_that_outlasts_the_grace_is_handed_back_and_goes_first() -> None:
    result = script(jobs((0, 20), (11, 1), (12, 1)), *[1] * 13, 0, *[0] * 10, 1, pods=PodSpec(constant(10), grace_s=5))
    # Claimed at 10, told to go at 13, handed back at 18; the next pod is ordered at 24.
    assert result.claimed_s == [34, 54, 55]
    assert result.attempts == [2, 1, 1]
    assert result.pod_s == 18 + 32


def test_pods_that_start_go_before_idle_ones_and_those_before_busy_ones() -> None:
    cluster = SimulatedCluster(jobs((0, 100), duration_s=20), PodSpec(constant(10)), (0, 9))
    cluster.scale(2)
    left: list[list[int]] = []

    def scale(to: int) -> None:
        cluster.scale(to)
        left.append(sorted([pod.state for pod in cluster._active] + [10 + len(p.running) for p in cluster._active]))

    cluster.at(15, lambda: cluster.scale(3))
    cluster.at(16, lambda: scale(2))
    cluster.at(17, lambda: scale(1))
    cluster.run()
    assert left == [[READY, READY, 10, 11], [READY, 11]]


def test_without_deletion_costs_the_younger_pod_goes_although_it_is_busy() -> None:
    """By the power of two of their ages: 90 s and 10 s here."""
    left: list[tuple[float, int]] = []

    def look() -> None:
        left.extend((pod.created_s, len(pod.running)) for pod in (*cluster._active, *cluster._leaving))

    pods = PodSpec(constant(10), deletion_cost=False)
    cluster = SimulatedCluster(jobs((0, 100), (20, 100)), pods, (0, 9))
    cluster.scale(1)
    cluster.at(75, lambda: cluster.scale(2))
    cluster.at(100, lambda: cluster.scale(1))
    cluster.at(101, look)
    cluster.run()
    assert left == [(0, 1), (75, 1)]


def test_a_pod_runs_as_many_jobs_at_once_as_it_may() -> None:
    result = script(jobs(*[(0, 4)] * 5), 1, pods=PodSpec(constant(10), concurrency=2))
    assert result.finished_s == [14, 14, 18, 18, 22]


def test_jobs_of_a_batch_end_together_and_others_wait_for_the_end() -> None:
    result = script(jobs((0, 4), (0, 6), (11, 4)), 1, pods=PodSpec(constant(10), concurrency=4, batch=4))
    assert result.finished_s == [16, 16, 20]
    two_calls = script(jobs((0, 4), (0, 6), (11, 4)), 1, pods=PodSpec(constant(10), concurrency=8, batch=4))
    assert two_calls.finished_s == [16, 16, 15]


def test_jobs_of_a_batch_that_outlasts_its_grace_run_again_in_their_order() -> None:
    pods = PodSpec(constant(10), grace_s=5, concurrency=4, batch=4)
    result = script(jobs((0, 20), (0, 20), (0, 1)), *[1] * 13, 0, *[0] * 10, 1, pods=pods)
    assert result.attempts == [2, 2, 2]
    assert result.finished_s == [54, 54, 54]


def test_a_rule_sees_what_happened_and_no_more() -> None:
    rule = Script([1])
    load = jobs((0.5, 2), (5.5, 3), (40.5, 1))
    simulate(load, PodSpec(constant(10)), rule, DirectActuation(), limits=(0, 9))
    view = rule.seen[12]
    assert (view.now_s, view.waiting, view.running, view.ready, view.replicas) == (12, 0, 1, 1, 1)
    assert [look.starting_ages_s for look in rule.seen[5:13:7]] == [(5,), ()]
    # The sequences grow; what a look saw of them is its length then. A copy shows it.
    looks: list[tuple[list[float], list[float], list[float]]] = []

    class Copies:
        def decide(self, view: View) -> RuleDecision:
            looks.append(([*view.arrivals_s], [*view.services_s], [*view.startups_s]))
            return RuleDecision(1)

    simulate(load, PodSpec(constant(10)), Copies(), DirectActuation(), limits=(0, 9))
    assert looks[5] == ([0.5], [], [])
    assert looks[20] == ([0.5, 5.5], [2, 3], [10])


def test_replicas_stay_within_the_limits() -> None:
    seen = Script([0, 99])
    result = simulate(jobs((5, 1)), PodSpec(constant(3)), seen, DirectActuation(), limits=(1, 4))
    assert [view.replicas for view in seen.seen[:3]] == [0, 1, 4]
    assert result.peak == 4


def test_a_run_that_never_ends_is_given_up_and_says_so() -> None:
    result = script(jobs((1, 1), (2, 1)), 0)
    assert result.unfinished == 2
    assert result.percentile_s(50) == math.inf
    assert result.within(1e9) == 0
    run = result.run("never", {})
    assert run.jobs.outcome == ["given up"] * 2
    assert "2 jobs were not done" in run.notes[0]


def test_no_jobs_are_no_trouble() -> None:
    result = simulate(jobs(duration_s=60), PodSpec(constant(1)), Script([1]), DirectActuation(), sample_s=1.0)
    assert (result.end_s, result.pod_s, result.within(1)) == (60, 60, 1.0)
    assert math.isnan(result.percentile_s(95))


def test_a_run_is_a_file_that_says_the_same(tmp_path: Path) -> None:
    load = work(arrivals(parse("spike"), 600, "poisson", 3), lognormal(5, 0.3), 600, 3)
    pods = PodSpec(lognormal(30, 0.2))
    keda = KedaActuation(polling_s=7, cooldown_s=20, keda_phase_s=1.5, hpa_phase_s=3.3)
    result = simulate(load, pods, JobCount(running=True), keda, sample_s=1.0)
    write(result.run("spike", {"seed": 3}), tmp_path / "run.gz")
    run = read(tmp_path / "run.gz")
    assert run.kind == "simulation"
    assert latencies(run)[1] == pytest.approx(result.latencies_s)
    # The samples have every change of pods: the area below them is exact.
    assert run.pod_s == pytest.approx(result.pod_s)
    assert max(t - s for s, t in pairwise(run.samples.t_s)) <= 1.0


RULES: dict[str, Callable[[], Rule]] = {
    "lag": lambda: JobCount(running=False),
    "lag + pending": lambda: JobCount(running=True),
    "delayed off": DelayedOff,
    "knative": Knative,
}


@st.composite
def loads(draw: st.DrawFn) -> Work:
    gaps = draw(st.lists(st.floats(0, 20), max_size=60))
    services = draw(st.lists(st.floats(0.01, 60), min_size=len(gaps), max_size=len(gaps)))
    times = np.cumsum(gaps).tolist()
    return work([Arrival(a, s) for a, s in zip(times, services, strict=True)], constant(1), 100.0, 0)


@settings(max_examples=60, deadline=None)
@given(
    load=loads(),
    rule=st.sampled_from(sorted(RULES)),
    startup=st.floats(0.1, 50),
    concurrency=st.integers(1, 3),
    grace_s=st.floats(0.5, 100),
    direct=st.booleans(),
    seed=st.integers(0, 99),
)
def test_whatever_happens_the_books_are_right(
    load: Work, rule: str, startup: float, concurrency: int, grace_s: float, direct: bool, seed: int
) -> None:
    pods = PodSpec(lognormal(startup, 0.5), concurrency=concurrency, grace_s=grace_s, deletion_cost=bool(seed % 2))
    actuation = (
        DirectActuation()
        if direct
        else KedaActuation(polling_s=5, cooldown_s=30, keda_phase_s=seed % 5, hpa_phase_s=seed % 15)
    )

    def run() -> Result:
        return simulate(load, pods, RULES[rule](), actuation, limits=(0, 7), seed=seed, sample_s=1.0)

    result = run()
    assert result.run("", {}) == run().run("", {})
    samples = result.samples
    for i, arrived_s in enumerate(load.arrivals_s):
        if math.isnan(result.finished_s[i]):
            continue
        assert result.claimed_s[i] >= arrived_s
        assert result.finished_s[i] == pytest.approx(result.claimed_s[i] + load.services_s[i])
        assert result.attempts[i] >= 1
    if all(attempts == 1 for attempts in result.attempts):
        assert result.claimed_s == sorted(result.claimed_s)
    for running, waiting, *there in zip(
        samples.running, samples.waiting, samples.starting, samples.ready, samples.stopping, samples.wanted, strict=True
    ):
        starting, ready, stopping, wanted = (count or 0 for count in there)
        assert starting + ready == wanted <= 7
        assert 0 <= (running or 0) <= concurrency * (ready + stopping)
        # None is idle while another waits.
        assert not waiting or (running or 0) >= ready * concurrency
    assert result.run("", {}).pod_s == pytest.approx(result.pod_s)
    assert result.unfinished == 0 or result.end_s == load.duration_s + 3600


def test_queueing_is_as_theory_has_it() -> None:
    """The mean wait of M/M/5 with 80 % of its pods busy (Erlang's C formula), after it has become steady."""
    load = work(arrivals(parse("constant:0.8"), 250_000, "poisson", 7), exponential(5), 250_000, 7)
    result = simulate(load, PodSpec(constant(1)), Script([5]), DirectActuation(interval_s=1e9), limits=(0, 9))
    a, k = 4.0, 5
    last = a**k / math.factorial(k) * k / (k - a)
    wait_s = last / (sum(a**n / math.factorial(n) for n in range(k)) + last) * 5 / (k - a)
    waits = [c - a for c, a in zip(result.claimed_s, load.arrivals_s, strict=True)]
    assert len(waits) > 190_000
    assert sum(waits) / len(waits) == pytest.approx(wait_s, rel=0.05)


@pytest.mark.parametrize(
    ("text", "mean_s"), [("30", 30), ("constant:2.5", 2.5), ("lognormal:30,0.4", 30), ("exponential:4", 4)]
)
def test_durations_have_the_mean_that_was_asked_for(text: str, mean_s: float) -> None:
    times: Times = parse_times(text)
    assert times.mean_s == mean_s
    drawn = times.draw(np.random.default_rng(0), 40_000)
    assert drawn.mean() == pytest.approx(mean_s, rel=0.02)
    assert (drawn > 0).all()


def test_durations_are_drawn_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "startup.csv"
    path.write_text("setup_s,node\n1.5,a\n2.5,b\n")
    times = parse_times(f"csv:{path}")
    assert times.mean_s == 2
    assert set(times.draw(np.random.default_rng(0), 100).tolist()) == {1.5, 2.5}


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "0", "inf", "nan", "lognormal:3", "normal:1,2", "csv:/nowhere.csv", "1,2"]
)
def test_what_is_no_duration_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(LoadError):
        parse_times(text)


@pytest.mark.parametrize("content", ["", "s\n", "s\nx\n", "s\n-1\n", "s\n1\n0\n"])
def test_a_file_without_durations_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "times.csv"
    path.write_text(content)
    with pytest.raises(LoadError):
        parse_times(f"csv:{path}")
