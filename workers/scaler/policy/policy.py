"""How many replicas there should be: a pure function of what is seen, what has been learnt, and what the user wants.

No clock, no I/O, no global state. It is asked about once a second, by the live scaler and by the simulator alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from workers.scaler.forecast.arrivals import Arrivals, Forecast
from workers.scaler.policy.arrival_history import Recent
from workers.scaler.policy.durations import Durations
from workers.scaler.policy.keep_alive import Holds, Steps, Terms, held
from workers.scaler.policy.patience import HOLD, Patience
from workers.scaler.policy.staffing import BACKLOG_SHARE, Staffing

if TYPE_CHECKING:
    from collections.abc import Callable

# A start-up is taken for as long as most are: to over-estimate it is the cheaper error.
STARTUP_SHARE = 0.8
# What is let go must not be needed again before it has paid for another start, and half of one.
KEEP_STARTUPS = 1.5
# Nor is it let go for a dip: so many standard errors are added to the rate first.
KEEP_ERRORS = 1.0
# What was needed is held for a start-up, and longer where jobs come in bursts: in the next there is no time to start.
# Where they come like a clock for less: but a number between two would else be ordered and let go with each job.
SHORTEST_HOLD, LONGEST_HOLD = 0.3, 4.0
HOLD_FOR_BURSTS = 0.25
# A pod that has been starting for so many times as long as others take is not waited for any more.
STUCK_STARTUPS = 3.0
# Before the first look no job came for so many service times, for all that is known.
QUIET_SERVICES = 0.5
# Counts, and times in seconds, that are larger are absurd: nothing that is reckoned with them overflows.
_MOST = 10**12


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may set, with a default for all of it; and what the surroundings are like."""

    min_replicas: int = 0
    max_replicas: int = 10
    objective_s: float | None = None  # a job should wait no longer; None: one mean service time
    late_cost: float = 12.0  # what a job that waits longer is worth, in mean service times of a pod
    concurrency: int = 1  # jobs that one replica runs at once
    actuation_s: float = 1.0  # from a decision to a pod's creation
    service_guess_s: float = 5.0  # until the first has been seen
    startup_guess_s: float = 30.0

    def wait_s(self, service_s: float) -> float:
        """The objective, where a job takes `service_s` on average."""
        return service_s if self.objective_s is None else self.objective_s


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is seen now. Times in seconds; the observations are those that are new since the last snapshot."""

    now_s: float
    arrived: int  # jobs pushed so far, of all time
    waiting: int
    running: int
    ready: int
    starting_ages_s: tuple[float, ...] = ()
    services_s: tuple[float, ...] = ()
    startups_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """What has been learnt, and what was decided."""

    arrivals: Arrivals
    services: Durations
    startups: Durations
    replicas: int = 0
    needed: Steps = ()  # of the time for which a pod is held in any case
    recent: Recent = field(default_factory=Recent)  # jobs, of the time of a service and an objective
    holds: Holds = field(default_factory=Holds)


@dataclass(frozen=True, slots=True)
class Decision:
    """`replicas` to have, and why in words. `rate` is the number of jobs/s expected in `lead_s` seconds."""

    replicas: int
    reason: str
    rate: float = 0.0
    lead_s: float = 0.0


def start(snapshot: Snapshot, options: Options) -> State:
    """Before the first decision: nothing has been learnt."""
    ready = snapshot.ready if 0 <= snapshot.ready <= _MOST else 0
    return State(
        Arrivals.begin(snapshot.now_s, snapshot.arrived, QUIET_SERVICES * options.service_guess_s),
        Durations(options.service_guess_s),
        Durations(options.startup_guess_s),
        ready + len(snapshot.starting_ages_s),
    )


def decide(
    snapshot: Snapshot, state: State, options: Options, rate_in: Callable[[float], float] | None = None
) -> tuple[Decision, State]:
    """The number of replicas, and the state for the next time. Absurd input holds the last decision.

    `rate_in` is for who knows how many jobs/s there will be in so many seconds: it takes the forecast's place.
    """
    if why := _absurd(snapshot, state):
        replicas = _within(state.replicas, options)
        again = replace(state, replicas=replicas)
        if abs(snapshot.now_s) <= _MOST and 0 <= snapshot.arrived <= _MOST:
            # From here on, it may make sense again.
            again = replace(
                again,
                arrivals=start(snapshot, options).arrivals,
                needed=((snapshot.now_s, replicas),),
                recent=Recent(),
                holds=Holds(),
            )
        return Decision(replicas, f"{why}: {replicas} held"), again
    services, startups = state.services.add(snapshot.services_s), state.startups.add(snapshot.startups_s)
    startup_s = startups.quantile_s(STARTUP_SHARE)
    lead_s = startup_s + options.actuation_s
    arrivals = state.arrivals.seen(snapshot.now_s, snapshot.arrived, lead_s)
    forecast = arrivals.forecast(lead_s)
    if rate_in is not None:
        rate = rate_in(0.0)
        forecast = forecast._replace(rate=rate, trend=(rate_in(lead_s) - rate) / lead_s, error=0.0)
    recent = state.recent.seen(snapshot.now_s, arrivals.total, services.mean_s + options.wait_s(services.mean_s))
    look = _Look(snapshot, options, forecast, services, startups, startup_s, lead_s, recent)
    order, keep = look.order(), look.keep()
    if order > max(state.replicas, look.there):
        keep = order
    needed = held(state.needed, snapshot.now_s, max(keep, order), look.hold_s(arrivals.unevenness.bursts))
    holds = state.holds.seen(snapshot.now_s, look.demand(), min(order, options.max_replicas), look.terms())
    worth, for_s = holds.worth(startup_s)
    replicas = _within(max(order, min(max(needed[0][1], worth), max(state.replicas, look.there))), options)
    reason = look.reason(order, replicas, for_s if worth > needed[0][1] else 0.0)
    decision = Decision(replicas, reason, forecast.at(lead_s), lead_s)
    return decision, State(arrivals, services, startups, replicas, needed, recent, holds)


def _within(replicas: int, options: Options) -> int:
    return max(options.min_replicas, min(options.max_replicas, replicas))


def _absurd(snapshot: Snapshot, state: State) -> str:
    """What can't be, in words; empty if all can. Whatever is no number is less than nothing, too."""
    since_s, before = state.arrivals.last_s, state.arrivals.base + state.arrivals.total
    if not (abs(snapshot.now_s) <= _MOST and since_s <= snapshot.now_s <= since_s + _MOST):
        return "the clock went back"
    if not (snapshot.arrived <= _MOST and before <= snapshot.arrived <= before + _MOST):
        return "there are fewer jobs than there were"
    counts = (snapshot.waiting, snapshot.running, snapshot.ready)
    if not all(0 <= count <= _MOST for count in (*counts, *snapshot.starting_ages_s)):
        return "a count is negative"
    return ""


class _Look:
    """One look at it all."""

    def __init__(
        self,
        snapshot: Snapshot,
        options: Options,
        forecast: Forecast,
        services: Durations,
        startups: Durations,
        startup_s: float,
        lead_s: float,
        recent: Recent,
    ) -> None:
        self.snapshot, self.recent, self.options, self.forecast = snapshot, recent, options, forecast
        self.startup_s, self.lead_s = startup_s, lead_s
        self.service_s = services.mean_s
        self.wait_s = options.wait_s(self.service_s)
        ages_s = snapshot.starting_ages_s
        self.coming_s = sorted(startups.left_s(age_s, STARTUP_SHARE) for age_s in ages_s)
        self.hopeful = sum(age_s < STUCK_STARTUPS * startup_s for age_s in ages_s)
        self.there = snapshot.ready + len(ages_s)
        self.outstanding = snapshot.waiting + snapshot.running
        # More often than not a job can wait for a pod that is ordered when it comes.
        self.patient = self.wait_s >= startups.mean_s + options.actuation_s
        self.patience = Patience(self.service_s, self.wait_s, options.concurrency, options.late_cost)
        self.staffing = Staffing(
            forecast,
            self.service_s,
            services.variation,
            self.wait_s,
            options.concurrency,
            options.late_cost * self.service_s,
            options.max_replicas,
        )

    def order(self) -> int:
        """How many there must be when an order of now is ready."""
        if self.patient:
            seen = self.snapshot
            return self.patience.needed(seen.waiting, seen.running, seen.ready, self.coming_s, self.lead_s)
        staffing, rate = self.staffing, self.forecast.at(self.lead_s)
        due = self.recent.due(self.snapshot.waiting, self.snapshot.now_s + self.lead_s, self.wait_s)
        steady = staffing.steady(self.snapshot.running + due, rate, self.lead_s, 0.0)
        if not self.outstanding and not steady:
            return 0
        soon = self.recent.due(self.snapshot.waiting, self.snapshot.now_s + self.lead_s, staffing.patience_s)
        backlog = staffing.waiting_at(self.snapshot.running + soon, self.snapshot.ready, self.coming_s, self.lead_s)
        base = max(self.there, steady)
        extra = staffing.drainers(backlog, base, rate, self.startup_s)
        order = base + extra if extra else steady
        return max(order, 1) if self.outstanding else order

    def keep(self) -> int:
        """How many are worth keeping: fewer would be missed before another start has paid."""
        # One that has half started is not called off for a dip.
        least = self.there if self.hopeful else 0
        if self.patient:
            return least
        ahead_s = KEEP_STARTUPS * self.startup_s + self.options.actuation_s
        rate = max(self.forecast.at(ahead_s), self.forecast.at(ahead_s / 2))
        keep = self.staffing.steady(self.outstanding, rate, ahead_s, KEEP_ERRORS, self.startup_s)
        # What is there now has to be begun in time, too.
        now = self.outstanding / (self.options.concurrency * (1 + BACKLOG_SHARE * self.wait_s / self.service_s))
        return max(least, keep, math.ceil(now - 1e-9))

    def hold_s(self, bursts: float) -> float:
        """For how long what was needed is held in any case."""
        if self.patient:
            return HOLD * self.startup_s
        even = min(1.0, max(SHORTEST_HOLD, self.forecast.dispersion))
        return self.startup_s * (even + min(LONGEST_HOLD, HOLD_FOR_BURSTS * bursts))

    def demand(self) -> float:
        """How many jobs ought to run now: of those that came lately, whether they do or not."""
        span_s = self.service_s + self.wait_s
        wanted = self.recent.last(span_s) * self.service_s / span_s
        return min(wanted, float(self.options.max_replicas * self.options.concurrency))

    def terms(self) -> Terms:
        """What holding is judged by."""
        options = self.options
        return Terms(
            self.lead_s, self.startup_s, self.wait_s, options.late_cost, options.concurrency, options.min_replicas
        )

    def reason(self, order: int, replicas: int, hold_s: float) -> str:
        """Why, in words. `hold_s` is for how long idle pods are held because that has paid; 0 where others are."""
        seen = self.snapshot
        what = f"{seen.waiting} waiting + {seen.running} running"
        if self.patient:
            what += f", to begin within {self.patience.begin_s:.0f} s,"
        else:
            what += f" + {self.forecast.at(self.lead_s):.2g}/s x {self.lead_s:.0f} s"
        text = f"{what} needs {order}; {seen.ready} ready"
        if self.coming_s:
            text += f", {len(self.coming_s)} starting, ready in {self.coming_s[0]:.0f} s"
        if replicas > self.there:
            text += f"; order {replicas - self.there}"
        elif replicas < self.there:
            text += f"; let {self.there - replicas} go"
        elif replicas > order:
            text += f"; keep {replicas - order} that may soon be needed"
            if hold_s:
                text += f", as such have been within {hold_s:.0f} s"
        if replicas == self.options.max_replicas < order:
            text += f"; {replicas} are the most"
        return text
