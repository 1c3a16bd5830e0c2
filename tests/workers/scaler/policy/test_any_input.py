"""Whatever the policy is shown: a decision within the limits, a pure function, a small memory."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.workers.scaler.policy.watch import PolicyWatch
from workers.scaler.policy import Decision, Options, Snapshot, State, decide, start

if TYPE_CHECKING:
    from collections.abc import Iterable

# Traced they take seven times as long, and others run the same lines.
pytestmark = pytest.mark.no_cover

NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "now_s": st.one_of(st.floats(), st.floats(0, 1e4)),
    "count": st.one_of(
        st.integers(-3, 60),
        st.integers(0, 10**13),
        st.sampled_from([math.nan, math.inf, -math.inf, 10**400, -(10**400)]),
    ),
    "seconds": st.one_of(st.floats(), st.floats(0, 100)),
}


def some(numbers: str) -> st.SearchStrategy[tuple[float, ...]]:
    return st.lists(NUMBERS[numbers], max_size=5).map(tuple)


anything = st.builds(
    Snapshot,
    now_s=NUMBERS["now_s"],
    arrived=NUMBERS["count"],
    waiting=NUMBERS["count"],
    running=NUMBERS["count"],
    ready=NUMBERS["count"],
    starting_ages_s=some("seconds"),
    services_s=some("seconds"),
    startups_s=some("seconds"),
)
any_options = st.builds(
    Options,
    min_replicas=st.integers(0, 4),
    max_replicas=st.integers(4, 30),
    objective_s=st.one_of(st.none(), st.floats(1e-3, 1e4)),
    late_cost=st.floats(1e-3, 1e3),
    concurrency=st.one_of(st.just(1), st.integers(1, 100)),
    actuation_s=st.floats(0, 60),
    service_guess_s=st.floats(1e-3, 1e4),
    startup_guess_s=st.floats(1e-3, 1e4),
    standby=st.integers(0, 30),
    standby_price=st.one_of(st.just(0.0), st.floats(0, 1)),
)


@st.composite
def consistent(draw: st.DrawFn) -> list[Snapshot]:
    """As a real cluster might show them, with anything from nothing to floods."""
    now_s, arrived = draw(st.sampled_from([0.0, 1.7e9])), draw(st.integers(0, 10**6))
    size = draw(st.sampled_from([2, 50, 10**7]))
    snapshots = []
    for _ in range(draw(st.integers(1, 12))):
        now_s += draw(st.one_of(st.floats(0.5, 2), st.floats(0, 1e-3), st.floats(0, 1e6)))
        arrived += draw(st.integers(0, size))
        snapshots.append(
            Snapshot(
                now_s,
                arrived,
                draw(st.integers(0, size)),
                draw(st.integers(0, size)),
                draw(st.integers(0, 40)),
                tuple(draw(st.lists(st.floats(0, 1e3), max_size=5))),
                tuple(draw(st.lists(st.floats(1e-3, 1e3), max_size=5))),
                tuple(draw(st.lists(st.floats(1e-3, 1e3), max_size=2))),
            )
        )
    return snapshots


def parts(what: Any) -> Iterable[object]:
    """All that a state is made of."""
    if dataclasses.is_dataclass(what):
        for one in dataclasses.fields(what):
            yield from parts(getattr(what, one.name))
    elif isinstance(what, tuple):
        for part in what:
            yield from parts(part)
    else:
        yield what


def check(decision: Decision, state: State, options: Options) -> None:
    assert type(decision.replicas) is int
    assert options.min_replicas <= decision.replicas <= options.max_replicas
    assert decision.reason
    assert math.isfinite(decision.rate + decision.lead_s)
    assert decision.rate >= 0
    members = list(parts(state))
    assert all(one is None or type(one) in (int, float) for one in members)
    # Durations have the most: two times 256, and once more sorted; the forecast has up to about 1500.
    assert len(members) < 3000


@settings(deadline=None, max_examples=200)
@given(snapshots=st.lists(st.one_of(anything, anything, st.none()), min_size=1, max_size=8), options=any_options)
def test_whatever_is_seen_there_is_a_decision_within_the_limits(
    snapshots: list[Snapshot | None], options: Options
) -> None:
    """None is a snapshot that makes sense after the last one that did."""
    state, sane = None, Snapshot(0.0, 0, 0, 0, 0)
    for snapshot in snapshots:
        seen = sane = replace(sane, now_s=sane.now_s + 1.0, arrived=sane.arrived + 1) if snapshot is None else sane
        seen = snapshot or sane
        state = state or start(seen, options)
        decision, state = decide(seen, state, options)
        check(decision, state, options)


@settings(deadline=None, max_examples=50)
@given(snapshots=consistent(), options=any_options)
def test_the_policy_is_a_pure_function(snapshots: list[Snapshot], options: Options) -> None:
    state = start(snapshots[0], options)
    for seen in snapshots:
        before = copy.deepcopy((seen, state, options))
        decision, after = decide(seen, state, options)
        assert (seen, state, options) == before
        assert decide(*copy.deepcopy(before)) == (decision, after)
        check(decision, after, options)
        assert not decision.reason.endswith("held"), decision.reason
        if seen.waiting + seen.running:
            assert decision.replicas >= 1
        if not options.standby_price:
            assert decision.replicas >= min(options.standby, options.max_replicas)
        state = after


@settings(deadline=None, max_examples=20)
@given(
    count=st.integers(0, 40),
    gap_s=st.floats(0.1, 100),
    options=any_options,
)
def test_the_minimum_is_wanted_as_long_as_no_job_comes(count: int, gap_s: float, options: Options) -> None:
    watch = PolicyWatch(options, arrived=0)
    for _ in range(count):
        # Before a job has come none is expected, and nothing is saved by a standby that has a price.
        standby = 0 if options.standby_price else min(options.standby, options.max_replicas)
        least = max(options.min_replicas, standby)
        assert watch.see(seconds=gap_s, ready=least).replicas == least


@settings(deadline=None, max_examples=8)
@given(
    history=st.lists(st.tuples(st.integers(1, 90), st.integers(0, 60)), min_size=1, max_size=8),
    minimum=st.integers(0, 2),
)
@example([(30, 2), (30, 5), (88, 1), (60, 60)], 0)  # an hour later it is the same minute of the hour
@example([(5, 2), (5, 60), (21, 0), (90, 49), (1, 0)], 0)
def test_after_any_history_an_hour_without_a_job_ends_at_the_minimum(
    history: list[tuple[int, int]], minimum: int
) -> None:
    """The history is of seconds, each with so many jobs; start-ups take 30 s."""
    watch, ready = PolicyWatch(Options(min_replicas=minimum, max_replicas=50)), 0
    watch.learn()
    for seconds, jobs in history:
        for _ in range(seconds):
            ready = watch.see(jobs, waiting=jobs, running=min(ready, jobs), ready=ready).replicas

    for _ in range(900):
        ready = watch.see(seconds=4.0, ready=ready).replicas

    assert ready == minimum


def test_the_memory_stays_small_however_long_it_runs() -> None:
    """Six thousand snapshots of jobs that come in bursts, of services and start-ups that vary."""
    watch, generator = PolicyWatch(Options(max_replicas=50)), np.random.default_rng(1)
    backlog, sizes = 0, []
    for second in range(6_000):
        jobs = int(generator.poisson(3.0 if second // 500 % 2 else 0.1))
        backlog = max(0, backlog + jobs - 2)
        services_s, startups_s = (
            generator.gamma(4, 1, jobs).tolist(),
            generator.gamma(4, 10, int(second % 50 == 0)).tolist(),
        )
        ages_s = (float(second % 30),) * (second % 3)
        watch.see(
            jobs,
            waiting=backlog,
            running=3,
            ready=5,
            starting_ages_s=ages_s,
            services_s=tuple(services_s),
            startups_s=tuple(startups_s),
        )
        if second % 500 == 499:
            assert watch.state is not None
            sizes.append(len(list(parts(watch.state))))
            check(watch.decisions[-1], watch.state, watch.options)
    assert max(sizes[6:]) < 1.2 * max(sizes[:6])
