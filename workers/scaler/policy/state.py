"""What the policy remembers from one decision to the next, and how it learns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from workers.scaler.forecast.arrivals import Arrivals
from workers.scaler.policy.durations import Durations

if TYPE_CHECKING:
    from workers.scaler.policy.interface import Options, Snapshot

# Share of the observed start-ups that take no longer than the start-up time that is reckoned with: the 80th percentile.
# A guess that is too long costs idle pod-seconds, one that is too short makes jobs late, which costs more. Judged by
# simulation: `--load ramping --startup lognormal:30,0.3`.
# Example: of start-ups of 20, 30, 40, 50 and 60 s it is 50 s.
STARTUP_SHARE = 0.8
# Mean service times before the first snapshot in which no job is taken to have come. Judged by simulation:
# `--load constant:0.8`.
# Example: with a guess of 5 s the observation begins 2.5 s before the first snapshot, so that 1 job in the first second
# is 1 job in 3.5 s.
QUIET_SERVICES = 0.5
# Largest count, and largest time in seconds, that is believed. Design: nothing that is reckoned with it overflows.
# Example: 10^400 waiting jobs are a mistake, and the last decision stays.
LARGEST = 10**12


# Pairs of a time in seconds and a number: rising times and falling numbers, so that the first number is the largest.
Steps: TypeAlias = tuple[tuple[float, int], ...]


def largest(before: Steps, now_s: float, number: int, window_s: float) -> Steps:
    """Returns the steps with one more number, and without those from `window_s` ago or longer.

    A number is forgotten as soon as a later one is as large (the monotonic queue).
    """
    return (*[step for step in before if step[0] > now_s - window_s and step[1] > number], (now_s, number))


@dataclass(frozen=True, slots=True)
class State:
    """What has been learnt, and what was decided."""

    arrivals: Arrivals
    services: Durations
    startups: Durations
    replicas: int = 0  # the last decision
    needed: Steps = ()  # pods, within the time that they are held

    @property
    def startup_s(self) -> float:
        """The start-up time that is reckoned with."""
        return self.startups.quantile_s(STARTUP_SHARE)

    def observe(self, snapshot: Snapshot, options: Options) -> State:
        """Returns the state with the arrivals and durations of `snapshot`; nothing is decided yet."""
        services, startups = self.services.add(snapshot.services_s), self.startups.add(snapshot.startups_s)
        lead_s = startups.quantile_s(STARTUP_SHARE) + options.actuation_s
        arrivals = self.arrivals.observe(snapshot.now_s, snapshot.arrived, lead_s)
        return replace(self, arrivals=arrivals, services=services, startups=startups)


def start(snapshot: Snapshot, options: Options) -> State:
    """Returns the state before the first decision: nothing has been learnt."""
    ready = snapshot.ready if 0 <= snapshot.ready <= LARGEST else 0
    return State(
        Arrivals.begin(
            snapshot.now_s,
            snapshot.arrived,
            QUIET_SERVICES * options.service_guess_s,
            options.startup_guess_s + options.actuation_s,
        ),
        Durations(options.service_guess_s),
        Durations(options.startup_guess_s),
        ready + len(snapshot.starting_ages_s),
    )


def absurdity(snapshot: Snapshot, state: State) -> str:
    """Returns what in `snapshot` can't be, in words; empty if all can. NaN fails every comparison, so it can't be."""
    since_s, before = state.arrivals.last_s, state.arrivals.base + state.arrivals.total
    if not (abs(snapshot.now_s) <= LARGEST and since_s <= snapshot.now_s <= since_s + LARGEST):
        return "the clock went back"
    if not (0 <= snapshot.arrived <= LARGEST and before <= snapshot.arrived <= before + LARGEST):
        return "there are fewer jobs than there were"
    counts = (snapshot.waiting, snapshot.running, snapshot.ready, snapshot.unplaced)
    if not all(0 <= count <= LARGEST for count in (*counts, *snapshot.starting_ages_s)):
        return "a count is negative"
    return ""


def after_absurdity(snapshot: Snapshot, state: State, options: Options) -> State:
    """Returns the state with the last number of replicas again, within the limits.

    If clock and count are numbers at all, they are taken for a new beginning: the next snapshot may make sense again.
    Durations are kept; what depends on the clock or the count is forgotten.
    """
    replicas = options.bound(state.replicas)
    if not (abs(snapshot.now_s) <= LARGEST and 0 <= snapshot.arrived <= LARGEST):
        return replace(state, replicas=replicas)
    return replace(
        start(snapshot, options),
        services=state.services,
        startups=state.startups,
        replicas=replicas,
        needed=((snapshot.now_s, replicas),),
    )
