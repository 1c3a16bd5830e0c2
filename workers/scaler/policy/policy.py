"""Where the number of pods is decided: `decide`, a pure function of what is seen, what was learnt, and what is wanted.

No clock, no I/O, no global state. It is asked about once a second, by the live scaler and by the simulator alike.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from workers.scaler.policy.interface import Decision
from workers.scaler.policy.keep_alive import KeepAliveTerms
from workers.scaler.policy.situation import Situation
from workers.scaler.policy.state import absurdity, after_absurdity
from workers.scaler.policy.strategies import strategy_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.scaler.forecast.arrivals import Forecast
    from workers.scaler.policy.interface import Options, Snapshot
    from workers.scaler.policy.keep_alive import KeepAlive, SlidingMaximum
    from workers.scaler.policy.state import State
    from workers.scaler.policy.strategies import Strategy


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
    forecast = _forecast(learnt, situation, rate_in)
    strategy = strategy_for(situation, learnt, forecast, options)
    order = strategy.order()
    kept = _keep(order, strategy, situation, learnt, options)
    replicas = options.bound(max(order, kept.pods))
    reason = _explain(strategy.demand(), order, replicas, kept.paid_s, situation, options)
    decision = Decision(replicas, reason, forecast.at(situation.lead_s), situation.lead_s)
    return decision, replace(learnt, replicas=replicas, needed=kept.needed, keep_alive=kept.keep_alive)


def _forecast(learnt: State, situation: Situation, rate_in: Callable[[float], float] | None) -> Forecast:
    """Returns what is expected of the arrivals, or what the caller knows of them."""
    lead_s = situation.lead_s
    forecast = learnt.arrivals.forecast(lead_s)
    if rate_in is None:
        return forecast
    rate = rate_in(0.0)
    return forecast._replace(rate=rate, trend=(rate_in(lead_s) - rate) / lead_s, error=0.0)


class _Kept(NamedTuple):
    """How many pods are kept, and what is remembered of how many were needed.

    `paid_s` is the keep-alive time if pods are kept because it has paid; 0 if there are none such.
    """

    pods: int
    paid_s: float
    needed: SlidingMaximum
    keep_alive: KeepAlive


def _keep(order: int, strategy: Strategy, situation: Situation, learnt: State, options: Options) -> _Kept:
    """Returns how many of the pods that there are, or were ordered, are kept although the order may be smaller."""
    at_hand = max(learnt.replicas, situation.pods)
    # While more pods are ordered than there are, the order alone counts as needed. What `keep` adds for caution would
    # otherwise be remembered as a need, although nobody ordered it.
    needed_now = order if order > at_hand else max(strategy.keep(), order)
    needed = learnt.needed.observe(situation.now_s, needed_now, strategy.keep_alive_s())
    terms = KeepAliveTerms(
        situation.lead_s,
        situation.startup_s,
        situation.wait_s,
        options.late_cost,
        options.concurrency,
        options.min_replicas,
    )
    busy = _slots_wanted(situation, learnt, options)
    keep_alive = learnt.keep_alive.observe(situation.now_s, busy, min(order, options.max_replicas), terms)
    paid, paid_s = keep_alive.worth(situation.startup_s)
    pods = min(max(needed.value, paid), at_hand)
    return _Kept(pods, paid_s if paid > needed.value else 0.0, needed, keep_alive)


def _slots_wanted(situation: Situation, learnt: State, options: Options) -> float:
    """Returns how many jobs ought to run now: of those that came lately, whether they do or not.

    Example: jobs of 5 s that may wait for 5 s: 20 came within 10 s, so 20 * 5 / 10 = 10 ought to run.
    """
    span_s = situation.service_s + situation.wait_s
    wanted = learnt.history.last(span_s) * situation.service_s / span_s
    return min(wanted, float(options.max_replicas * options.concurrency))


def _explain(demand: str, order: int, replicas: int, paid_s: float, situation: Situation, options: Options) -> str:
    """Returns why, in words."""
    pods = situation.pods
    text = f"{demand} needs {order}; {situation.ready} ready"
    if situation.coming_s:
        text += f", {len(situation.coming_s)} starting, ready in {situation.coming_s[0]:.0f} s"
    if replicas > pods:
        text += f"; order {replicas - pods}"
    elif replicas < pods:
        text += f"; let {pods - replicas} go"
    elif replicas > order:
        text += f"; keep {replicas - order} that may soon be needed"
        if paid_s:
            text += f", as such have been within {paid_s:.0f} s"
    if replicas == options.max_replicas < order:
        text += f"; {replicas} are the most"
    return text
