"""Where the number of pods is decided: `decide`, a pure function of what is seen, what was learnt, and what is wanted.

No clock, no I/O, no global state. It is asked about once a second, by the live scaler and by the simulator alike.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from workers.scaler.forecast.arrivals import Forecast
from workers.scaler.forecast.atoms import Atom
from workers.scaler.policy.cost.price import late_jobs
from workers.scaler.policy.interface import Decision
from workers.scaler.policy.patience import enough_for_calls
from workers.scaler.policy.situation import Situation
from workers.scaler.policy.standby import busy_then, with_standbys
from workers.scaler.policy.state import absurdity, after_absurdity, largest
from workers.scaler.policy.strategies import Predictive, Reactive

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.scaler.forecast.arrivals import Arrivals
    from workers.scaler.policy.interface import Options, Snapshot
    from workers.scaler.policy.state import State, Steps
    from workers.scaler.policy.strategies import Strategy


# Pods that each job after the first makes possible. Judged by simulation: a single job, and `--load spike`.
# Example: the first job orders one pod at most, though it came a second after the scaler began to look; the second job
# four at most, the tenth 28.
EVIDENCE = 3


def decide(
    snapshot: Snapshot, state: State, options: Options, rate_in: Callable[[float], float] | None = None
) -> tuple[Decision, State]:
    """Returns the number of replicas to have, and the state for the next time. Absurd input repeats the last decision.

    `rate_in` takes the forecast's place for a caller who knows how many jobs/s there will be in so many seconds.
    """
    if why := absurdity(snapshot, state):
        state = after_absurdity(snapshot, state, options)
        return Decision(state.replicas, f"{why}: {state.replicas} held"), state
    learnt = state.observe(snapshot, options)
    situation = Situation.of(snapshot, learnt, options)
    foreseen = partial(learnt.arrivals.forecast, lead_s=situation.lead_s)
    at = foreseen if rate_in is None else partial(_told, rate_in, learnt)
    ready = at(situation.lead_s)
    strategy = Reactive(situation, options) if situation.can_wait else Predictive(situation, at, ready, options)
    order = enough_for_calls(strategy.order(), situation, options)
    if rate_in is None:
        order = min(order, _told_by(learnt.arrivals, snapshot))
    if situation.unplaced:
        # They are not reckoned with, but what is missing for them has been ordered already.
        order = min(order, situation.pods)
    known = rate_in is not None or learnt.arrivals.shows_a_rate
    asked, busy = order, busy_then(situation, ready.rate if known else 0.0)
    order, standby = with_standbys(order, busy, situation, options, partial(late_jobs, snapshot, learnt, options))
    kept, needed = _keep(order, strategy, situation, learnt)
    replicas = options.bound(max(order, kept))
    demand = f"{strategy.demand()} needs {asked}{standby}"
    reason = _explain(demand, order, replicas, situation, options)
    decision = Decision(replicas, reason, ready.rate, situation.lead_s, spread=ready.spread)
    return decision, replace(learnt, replicas=replicas, needed=needed)


def _told_by(arrivals: Arrivals, snapshot: Snapshot) -> int:
    """Returns for how many pods there is evidence, however fast the first jobs seem to come.

    All that came at once at first count as one job: nobody knows whether more will come.
    """
    told = EVIDENCE * (arrivals.total - 1) if arrivals.shows_a_rate else 0
    return max(told + 1, snapshot.waiting + snapshot.running)


def _told(rate_in: Callable[[float], float], learnt: State, ahead_s: float) -> Forecast:
    """Returns what the caller knows of the arrivals, as a forecast."""
    return Forecast((Atom(1.0, rate_in(ahead_s), 0.0),), learnt.arrivals.dispersion)


def _keep(order: int, strategy: Strategy, situation: Situation, learnt: State) -> tuple[int, Steps]:
    """Returns how many of the pods at hand are kept although the order may be smaller, and what to remember."""
    at_hand = max(learnt.replicas, situation.pods)
    # If no less is ordered than there is, the order alone counts as needed. What `keep` adds for caution would be
    # remembered as a need otherwise, although nobody ordered it.
    needed_now = order if order >= at_hand else max(strategy.keep(order), order)
    needed = largest(learnt.needed, situation.now_s, needed_now, strategy.keep_alive_s())
    return min(needed[0][1], at_hand), needed


def _explain(demand: str, order: int, replicas: int, situation: Situation, options: Options) -> str:
    """Returns why, in words."""
    pods = situation.pods
    text = f"{demand}; {situation.ready} ready"
    if situation.coming_s:
        text += f", {len(situation.coming_s)} starting, ready in {situation.coming_s[0]:.0f} s"
    if situation.unplaced:
        text += f", {situation.unplaced} without a place ({situation.unplaced_why}), not ordered again"
    if replicas > pods:
        text += f"; order {replicas - pods}"
    elif replicas < pods:
        text += f"; let {pods - replicas} go"
    elif replicas > order:
        text += f"; keep {replicas - order} that may soon be needed"
    if replicas == options.max_replicas < order:
        text += f"; {replicas} are the most"
    return text
