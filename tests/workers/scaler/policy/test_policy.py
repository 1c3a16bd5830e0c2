"""The policy: what a user may rely on, whatever is seen."""

from __future__ import annotations

import copy
import dataclasses
import math
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.scaler.policy import Decision, Options, Snapshot, State, decide, start

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PLENTY = Options(max_replicas=1000)
SERVICE_S, STARTUP_S = 5.0, 30.0


@dataclass
class Watch:
    """Looks once a second, with pods as the test says."""

    options: Options = PLENTY
    now_s: float = 0.0
    arrived: int = 0
    state: State | None = None
    decisions: list[Decision] = field(default_factory=list)

    def see(self, jobs: int = 0, seconds: float = 1.0, **what: Any) -> Decision:
        """After so many more seconds and jobs. `what` is the rest of a snapshot: no jobs and no pods if left out."""
        self.now_s += seconds
        self.arrived += jobs
        seen = Snapshot(self.now_s, self.arrived, **{"waiting": 0, "running": 0, "ready": 0, **what})
        self.state = self.state or start(replace(seen, arrived=0), self.options)
        decision, self.state = decide(seen, self.state, self.options)
        self.decisions.append(decision)
        return decision

    def learn(self, service_s: float = SERVICE_S, startup_s: float = STARTUP_S) -> None:
        """Twenty jobs and pods have been seen."""
        self.see(services_s=(service_s,) * 20, startups_s=(startup_s,) * 20)

    def follow(self, times_s: Sequence[float], until_s: float, ready: int, service_s: float = SERVICE_S) -> Decision:
        """Jobs that come at those times, and are served at once by that many pods."""
        while self.now_s < until_s:
            now_s = self.now_s + 1
            before, by_now = bisect_right(times_s, self.now_s), bisect_right(times_s, now_s)
            running = by_now - bisect_right(times_s, now_s - service_s)
            self.see(by_now - before, waiting=max(0, running - ready), running=min(running, ready), ready=ready)
        return self.decisions[-1]


def every(gap_s: float, until_s: float) -> list[float]:
    return np.arange(gap_s / 2, until_s, gap_s).tolist()


def by_chance(rate: float, until_s: float, seed: int = 0, batch: int = 1) -> list[float]:
    """In batches, as a Poisson process."""
    generator = np.random.default_rng(seed)
    times_s = np.sort(generator.uniform(0, until_s, generator.poisson(rate / batch * until_s)))
    return np.repeat(times_s, batch).tolist()


# What a user sees.


def test_service_and_start_up_times_are_learnt() -> None:
    """Before, there is a guess; a job that takes twice as long needs twice as many, a start-up is looked ahead."""
    guess = Watch()
    assert guess.see().lead_s == 31.0
    slow = Watch()
    slow.learn(service_s=10.0, startup_s=60.0)
    quick = Watch()
    quick.learn(service_s=5.0, startup_s=20.0)
    times_s = every(1.25, 600)
    slow_needs, quick_needs = slow.follow(times_s, 600, 8, 10.0), quick.follow(times_s, 600, 4)
    # A clockwork of 0.8 jobs/s.
    assert quick_needs.replicas == 4
    assert slow_needs.replicas in (8, 9)
    assert quick_needs.lead_s == 21.0
    assert slow_needs.lead_s == 61.0


def test_a_start_up_is_taken_for_as_long_as_most_are() -> None:
    watch = Watch()
    assert watch.see(startups_s=(20.0, 30.0, 40.0, 50.0, 60.0)).lead_s == 51.0


def test_the_time_that_an_order_takes_is_looked_ahead_too() -> None:
    assert Watch(Options(actuation_s=15.0)).see().lead_s == 45.0


def test_clockwork_needs_no_safety_chance_some_and_bursts_more() -> None:
    """All of them at 0.8 jobs/s of 5 s each."""
    needed = []
    for times_s in (every(1.25, 1200), by_chance(0.8, 1200), by_chance(0.8, 1200, batch=10)):
        watch = Watch()
        watch.learn()
        watch.follow(times_s, 1200, 30)
        needed.append(float(np.median([decision.replicas for decision in watch.decisions[-300:]])))
    clock, poisson, bursts = needed
    assert clock == 4
    assert 5 <= poisson <= 8
    assert bursts >= poisson + 3


@pytest.mark.parametrize("service_s", [5.0, 60.0])
def test_a_trend_is_followed_to_the_time_when_an_order_is_ready(service_s: float) -> None:
    """From 0.5 jobs/s, with 2 more in an hour; a start-up takes five minutes."""
    watch = Watch()
    watch.learn(service_s, startup_s=300.0)
    slope = 2.0 / 3600
    count = np.arange(0.5, 0.5 * 1800 + slope * 1800**2 / 2)
    times_s = (-0.5 + np.sqrt(0.25 + 2 * slope * count)) / slope
    decision = watch.follow(times_s.tolist(), 1800, 200, service_s)
    now, then = 0.5 + slope * 1800, 0.5 + slope * (1800 + 301)
    assert decision.rate == pytest.approx(then, rel=0.05)
    assert decision.replicas >= math.floor(then * service_s * 0.97) >= now * service_s


def test_starting_pods_are_counted() -> None:
    """While those that were ordered for a backlog start, nothing more is ordered for it."""
    watch = Watch()
    watch.learn()
    ordered = watch.see(20, waiting=20).replicas
    assert ordered > 0
    for age_s in range(1, 30):
        decision = watch.see(waiting=20, starting_ages_s=(float(age_s),) * ordered)
        assert decision.replicas == ordered, (age_s, decision.reason)


def test_a_backlog_that_grew_is_ordered_for_and_what_starts_is_taken_off() -> None:
    def order(starting: int) -> int:
        watch = Watch()
        watch.learn()
        watch.see(seconds=600.0)
        decision = watch.see(40, waiting=40, starting_ages_s=(1.0,) * starting)
        return decision.replicas - starting

    none, some, enough = order(0), order(5), order(200)
    assert none > some > 0
    assert enough == 0


@pytest.mark.parametrize(("waiting", "ready"), [(8, 5), (20, 5), (3, 1), (40, 10)])
def test_nothing_is_ordered_that_would_be_ready_after_the_work_is_done(waiting: int, ready: int) -> None:
    """The pods that are there do it in less than a start-up, and no more is coming."""
    seen = Snapshot(100.0, 50, waiting, ready, ready, (), (SERVICE_S,) * 20, (STARTUP_S,) * 20)
    decision, _ = decide(replace(seen, now_s=101.0), start(seen, PLENTY), PLENTY)
    assert decision.replicas <= ready, decision.reason
    # But if they had to do ten times as much, some more would help.
    more = replace(seen, now_s=101.0, waiting=10 * waiting + 10 * ready)
    decision, _ = decide(more, start(seen, PLENTY), PLENTY)
    assert decision.replicas > ready, decision.reason


def test_a_half_started_pod_survives_a_dip() -> None:
    """Half of the jobs stay away for ten seconds, and those that waited have been done by others."""
    watch = Watch()
    watch.learn()
    times_s = every(0.5, 300)
    assert watch.follow(times_s, 300, 10).replicas >= 10
    for age_s in range(5, 15):
        decision = watch.see(1, running=4, ready=6, starting_ages_s=(float(age_s),) * 4)
        assert decision.replicas >= 10, decision.reason


def test_a_pod_that_never_starts_is_not_waited_for() -> None:
    watch = Watch()
    watch.learn()
    kept = [watch.see(seconds=10.0, starting_ages_s=(10.0 * look,)).replicas for look in range(1, 30)]
    assert kept[0] == 1
    assert kept[-1] == 0


def test_pods_go_when_the_load_is_over() -> None:
    """A clockwork's within a start-up, all but one; those of jobs that come by chance in some minutes."""
    for times_s, soon_s in ((every(1.0, 900), 75), (by_chance(1.0, 900), 300)):
        watch = Watch()
        watch.learn()
        ready = watch.follow(times_s, 900, 8).replicas
        assert ready >= 5
        left = []
        for _ in range(1800):
            ready = min(ready, watch.see(ready=ready).replicas)
            left.append(ready)
        assert left[soon_s] <= 1
        assert left[-1] == 0


@pytest.mark.parametrize(("gap_s", "service_s"), [(10.0, 0.5), (20.0, 1.0), (20.0, 5.0), (2.0, 0.01)])
def test_an_idle_pod_is_held_if_the_next_job_comes_before_another_could_start(gap_s: float, service_s: float) -> None:
    """However short the jobs are: to let it go would cost a start, and a late job, each time."""
    watch = Watch()
    watch.learn(service_s)
    watch.follow(every(gap_s, 900), 900, 1, service_s)
    assert min(decision.replicas for decision in watch.decisions[-300:]) == 1


def test_a_flood_gets_all_the_pods_there_may_be() -> None:
    """More than they can ever do, from the first second on or after a calm time."""
    for calm_s in (1.0, 600.0):
        watch = Watch(Options(max_replicas=10))
        watch.learn()
        watch.see(1, seconds=calm_s, waiting=1, ready=0)
        waiting = 1
        for _ in range(60):
            waiting += 100
            decision = watch.see(100, waiting=waiting, ready=1, running=1)
        assert decision.replicas == 10, decision.reason
        assert "10 are the most" in decision.reason or "order 9" in decision.reason


def test_the_reason_names_its_numbers() -> None:
    watch = Watch(Options(max_replicas=10))
    watch.learn()
    watch.follow(every(0.5, 300), 300, 10)
    decision = watch.see(2, waiting=12, running=5, ready=5, starting_ages_s=(19.0,))
    assert f"12 waiting + 5 running + {decision.rate:.2g}/s x 31 s needs " in decision.reason
    assert "5 ready, 1 starting, ready in 11 s" in decision.reason
    assert f"order {decision.replicas - 6}" in decision.reason
    idle = watch.see(2, running=5, ready=10)
    assert "10 ready" in idle.reason
    assert "order" not in idle.reason
    quiet = watch.see(seconds=1000.0, ready=10)
    assert quiet.reason.startswith("0 waiting + 0 running + ")
    assert f"let {10 - quiet.replicas} go" in quiet.reason


def test_where_jobs_can_wait_for_a_start_those_that_wait_say_what_is_missing() -> None:
    """A minute to wait, half a minute to start: two pods begin twenty jobs of 5 s in what is not kept back of it."""
    watch = Watch(Options(max_replicas=10, objective_s=60.0))
    watch.learn()
    enough = watch.see(14, waiting=12, running=2, ready=2)
    assert enough.reason == "12 waiting + 2 running, to begin within 52 s, needs 2; 2 ready"
    more = watch.see(12, waiting=24, running=2, ready=2)
    assert more.reason == "24 waiting + 2 running, to begin within 52 s, needs 3; 2 ready; order 1"
    started = watch.see(waiting=24, running=2, ready=2, starting_ages_s=(1.0,))
    assert started.replicas == 3
    assert watch.see(seconds=10.0, ready=3).replicas == 3
    assert watch.see(seconds=16.0, ready=3).replicas == 0


def test_who_knows_what_is_coming_is_believed() -> None:
    """Nothing has come yet; in half a minute 2 jobs/s will, and by then a pod that is ordered now is ready."""
    watch = Watch()
    watch.learn()
    seen = Snapshot(watch.now_s + 1, 0, 0, 0, 0)
    assert watch.state is not None
    assert decide(seen, watch.state, PLENTY)[0].replicas == 0
    decision, _ = decide(seen, watch.state, PLENTY, lambda after_s: 2.0 if after_s >= 25 else 0.0)
    assert decision.replicas >= 2 * SERVICE_S
    assert decision.rate == pytest.approx(2.0)
    assert decide(seen, watch.state, PLENTY, lambda _: 0.0)[0].replicas == 0


def test_without_jobs_there_is_the_minimum() -> None:
    for minimum in (0, 1, 4):
        watch = Watch(Options(min_replicas=minimum, max_replicas=9))
        assert {watch.see(ready=minimum).replicas for _ in range(300)} == {minimum}


@pytest.mark.parametrize("waiting", [1, 5, 10**9])
def test_without_replicas_that_may_be_there_are_none(waiting: int) -> None:
    watch = Watch(Options(max_replicas=0))
    assert {watch.see(3, waiting=waiting).replicas for _ in range(30)} == {0}


# Absurd input.


def settled() -> Watch:
    """Four jobs in five seconds for five minutes, and as many pods as are right for it."""
    watch = Watch(Options(max_replicas=20))
    watch.learn()
    watch.follow(every(1.25, 300), 300, 4)
    return watch


ABSURD: dict[str, dict[str, Any]] = {
    "time that goes back": {"now_s": -1.0},
    "no time": {"now_s": math.nan},
    "endless time": {"now_s": math.inf},
    "fewer jobs than before": {"arrived": 3},
    "negative arrivals": {"arrived": -3},
    "arrivals that are no number": {"arrived": math.nan},
    "endless arrivals": {"arrived": math.inf},
    "more arrivals than there are numbers": {"arrived": 10**400},
    "negative waiting": {"waiting": -1},
    "waiting that is no number": {"waiting": math.nan},
    "endless running": {"running": math.inf},
    "running that is no number": {"running": math.nan},
    "negative ready": {"ready": -5},
    "ready that is no number": {"ready": math.nan},
    "a negative age": {"starting_ages_s": (3.0, -1.0)},
    "an age that is no number": {"starting_ages_s": (math.nan,)},
    "an endless age": {"starting_ages_s": (math.inf,)},
}


@pytest.mark.parametrize("what", ABSURD)
def test_absurd_input_holds_the_last_decision(what: str) -> None:
    watch = settled()
    before = watch.decisions[-1].replicas
    assert watch.state is not None
    usual = Snapshot(301.0, watch.arrived, 0, 4, 4)
    state = watch.state
    decision, state = decide(replace(usual, **ABSURD[what]), state, watch.options)
    assert decision.reason.endswith(f"{before} held")
    for _ in range(5):
        # A clock or a count that goes on from another place is believed the second time.
        decision, state = decide(replace(usual, **ABSURD[what]), state, watch.options)
        assert decision.replicas == before
    # It goes on with what makes sense again, from that other place or the old one.
    since_s = 301 if what != "time that goes back" else -1
    arrived = watch.arrived if what != "fewer jobs than before" else 3
    for second in range(1, 200):
        seen = Snapshot(float(since_s + second), arrived + second * 4 // 5, 0, 4, 4)
        decision, state = decide(seen, state, watch.options)
        assert 1 <= decision.replicas <= 10
    assert "held" not in decision.reason
    assert decision.rate == pytest.approx(0.8, rel=0.1)


def test_pods_go_in_time_although_the_clock_went_back() -> None:
    """A day, and the load ends: what was needed at times that are yet to come again holds no pods."""
    watch = Watch(now_s=86_400.0)
    watch.learn()
    watch.see(50, waiting=50)
    assert watch.see(ready=10).replicas >= 10
    watch.now_s = 0.0
    ready = 10
    for _ in range(1800):
        ready = min(ready, watch.see(ready=ready).replicas)
    assert ready == 0


@pytest.mark.parametrize("what", ABSURD)
def test_a_first_look_may_be_absurd(what: str) -> None:
    options = Options(max_replicas=20)
    first = replace(Snapshot(0.0, 10, 0, 4, 4), **ABSURD[what])
    state = start(first, options)
    for second in range(600):
        seen = first if second < 3 else Snapshot(float(second), 10 + second * 4 // 5, 0, 4, 4)
        decision, state = decide(seen, state, options)
        assert 0 <= decision.replicas <= 20
    assert decision.replicas in (4, 5, 6)
    assert decision.rate == pytest.approx(0.8, rel=0.05)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 0.0, 5e-324, 1e300])
def test_absurd_durations_are_left_out(value: float) -> None:
    watch, other = settled(), settled()
    absurd = watch.see(services_s=(5.0, value), startups_s=(value, 30.0), running=4, ready=4)
    assert absurd == other.see(services_s=(5.0,), startups_s=(30.0,), running=4, ready=4)
    assert watch.state == other.state


# Anything at all.

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
)


@st.composite
def consistent(draw: st.DrawFn) -> list[Snapshot]:
    """As a real cluster might show them, with anything from nothing to floods."""
    now_s, arrived = draw(st.sampled_from([0.0, 1.7e9])), draw(st.integers(0, 10**6))
    size = draw(st.sampled_from([2, 50, 10**7]))
    looks = []
    for _ in range(draw(st.integers(1, 12))):
        now_s += draw(st.one_of(st.floats(0.5, 2), st.floats(0, 1e-3), st.floats(0, 1e6)))
        arrived += draw(st.integers(0, size))
        looks.append(
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
    return looks


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
    # Durations have the most: two times 256, and once more sorted.
    assert len(members) < 2000


@settings(deadline=None, max_examples=200)
@given(looks=st.lists(st.one_of(anything, anything, st.none()), min_size=1, max_size=8), options=any_options)
def test_whatever_is_seen_there_is_a_decision_within_the_limits(looks: list[Snapshot | None], options: Options) -> None:
    """None is a look that makes sense after the last one that did."""
    state, sane = None, Snapshot(0.0, 0, 0, 0, 0)
    for look in looks:
        seen = sane = replace(sane, now_s=sane.now_s + 1.0, arrived=sane.arrived + 1) if look is None else sane
        seen = look or sane
        state = state or start(seen, options)
        decision, state = decide(seen, state, options)
        check(decision, state, options)


@settings(deadline=None, max_examples=100)
@given(looks=consistent(), options=any_options)
def test_it_is_a_pure_function_of_what_makes_sense(looks: list[Snapshot], options: Options) -> None:
    state = start(looks[0], options)
    for seen in looks:
        before = copy.deepcopy((seen, state, options))
        decision, after = decide(seen, state, options)
        assert (seen, state, options) == before
        assert decide(*copy.deepcopy(before)) == (decision, after)
        check(decision, after, options)
        assert not decision.reason.endswith("held"), decision.reason
        if seen.waiting + seen.running:
            assert decision.replicas >= 1
        state = after


@settings(deadline=None, max_examples=20)
@given(
    count=st.integers(0, 40),
    gap_s=st.floats(0.1, 100),
    options=any_options,
)
def test_with_no_job_ever_it_is_the_minimum_however_long(count: int, gap_s: float, options: Options) -> None:
    watch = Watch(options, arrived=0)
    for _ in range(count):
        assert watch.see(seconds=gap_s, ready=options.min_replicas).replicas == options.min_replicas


def test_its_memory_stays_small_however_long_it_runs() -> None:
    """Ten thousand looks at jobs that come in bursts, of services and start-ups that vary."""
    watch, generator = Watch(Options(max_replicas=50)), np.random.default_rng(1)
    backlog, sizes = 0, []
    for look in range(10_000):
        jobs = int(generator.poisson(3.0 if look // 500 % 2 else 0.1))
        backlog = max(0, backlog + jobs - 2)
        services_s, startups_s = (
            generator.gamma(4, 1, jobs).tolist(),
            generator.gamma(4, 10, int(look % 50 == 0)).tolist(),
        )
        ages_s = (float(look % 30),) * (look % 3)
        watch.see(
            jobs,
            waiting=backlog,
            running=3,
            ready=5,
            starting_ages_s=ages_s,
            services_s=tuple(services_s),
            startups_s=tuple(startups_s),
        )
        if look % 500 == 499:
            assert watch.state is not None
            sizes.append(len(list(parts(watch.state))))
            check(watch.decisions[-1], watch.state, watch.options)
    assert max(sizes[10:]) < 1.2 * max(sizes[:10])
