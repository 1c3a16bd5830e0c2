"""The project's own policy as a rule: the very function that the live scaler calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.simulation.rule import Decision
from workers.scaler.hpa import metric_for
from workers.scaler.policy import Options, Snapshot, State, decide, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.simulation.rule import View


class StartupAware:
    """`workers.scaler.policy` with its defaults. `actuation_s` is what it is told of how long an order takes.

    `rate` are the load's jobs/s at a time, of one who is told: it takes the place of the forecast, and of nothing else.
    """

    def __init__(self, actuation_s: float = 1.0, rate: Callable[[float], float] | None = None) -> None:
        self._actuation_s, self._rate = actuation_s, rate
        self._state: State | None = None
        self._options = Options()
        self._services = self._startups = 0

    def decide(self, view: View) -> Decision:
        """Is asked once a second."""
        snapshot = Snapshot(
            view.now_s,
            len(view.arrivals_s),
            view.waiting,
            view.running,
            view.ready,
            view.starting_ages_s,
            tuple(view.services_s[self._services :]),
            tuple(view.startups_s[self._startups :]),
        )
        self._services, self._startups = len(view.services_s), len(view.startups_s)
        if self._state is None:
            self._options = Options(
                min_replicas=view.minimum,
                max_replicas=view.maximum,
                concurrency=view.concurrency,
                actuation_s=self._actuation_s,
            )
            self._state = start(snapshot, self._options)
        rate, now_s = self._rate, view.now_s
        rate_in = None if rate is None else lambda after_s: rate(now_s + after_s)
        decision, self._state = decide(snapshot, self._state, self._options, rate_in)
        metric = metric_for(decision.replicas, view.replicas)
        return Decision(decision.replicas, metric, decision.reason, decision.rate)
