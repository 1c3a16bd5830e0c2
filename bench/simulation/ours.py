"""The project's own policy as a rule: the very function that the live scaler calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.simulation.rule import BRIEF, Brief, Decision
from workers.scaler.cluster.hpa import metric_for
from workers.scaler.policy import Options, Snapshot, State, decide, start

if TYPE_CHECKING:
    from bench.simulation.rule import View


class StartupAware:
    """`workers.scaler.policy` with its defaults, and what a user may set.

    `actuation_s` is what it is told of how long an order takes. If `told`, the load's true rate takes the place of the
    forecast, and of nothing else; ValueError where there is none.
    """

    def __init__(self, brief: Brief = BRIEF, actuation_s: float = 1.0, *, told: bool = False) -> None:
        if told and brief.rate is None:
            raise ValueError("nobody can be told a trace's rate: it has none")
        self._brief, self._actuation_s, self._rate = brief, actuation_s, brief.rate if told else None
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
                objective_s=self._brief.objective_s,
                late_cost=self._brief.late_cost or self._options.late_cost,
                concurrency=view.concurrency,
                actuation_s=self._actuation_s,
            )
            self._state = start(snapshot, self._options)
        rate, now_s = self._rate, view.now_s
        rate_in = None if rate is None else lambda after_s: rate(now_s + after_s)
        decision, self._state = decide(snapshot, self._state, self._options, rate_in)
        metric = metric_for(decision.replicas, view.replicas)
        return Decision(decision.replicas, metric, decision.reason, decision.rate)
