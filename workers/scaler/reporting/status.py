"""What a scaler has seen and decided: its rounds write it; KEDA's calls, the probe and the metrics read it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.scaler.policy import Decision, State
    from workers.scaler.reporting.facts import BudgetShare
    from workers.scaler.surroundings import Leadership, ReplicasSeen


class ScalerStatus:
    """The status of one scaler; `changed` is notified after each round.

    With `shares_budget`, what a round decides has yet to be put before the budget.
    """

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._round_s = time.monotonic()
        self.shares_budget = False
        self.decision: Decision | None = None  # the one in force
        self._told: Decision | None = None  # that of the last round, once it was over
        self.outstanding: int | None = None  # jobs that were last seen to wait or run; None: they can't be seen
        self.replicas: ReplicasSeen | None = None  # None: they can't be seen
        self.learnt: State | None = None  # by the policy, if this scaler leads
        self.denied = 0  # replicas that its policy wants beyond what the budget gives, if this scaler leads
        self.share: BudgetShare | None = None  # of a budget, if this scaler leads and there is one
        self.changes = 0  # times that another number was decided here
        self.failures = 0  # rounds in which something could not be seen
        self._unknown_since_s: float | None = None
        self.changed = asyncio.Condition()

    @property
    def leads(self) -> bool:
        """Whether this scaler decides."""
        return self._leadership.leads

    @property
    def active(self) -> bool:
        """Whether there is to be a worker at all: by the decision, or for a job that has come since."""
        return bool(self.decision and self.decision.replicas) or bool(self.outstanding)

    @property
    def woken(self) -> bool:
        """Whether there are jobs, and no budget may have denied them a worker."""
        return bool(self.outstanding) and not self.shares_budget

    @property
    def told(self) -> int | None:
        """How many workers KEDA is told: as decided by the last round, and one if it is `woken`. None: undecided."""
        return None if self._told is None else max(self._told.replicas, int(self.woken))

    @property
    def age_s(self) -> float:
        """Seconds since the last round began: a scaler that is stuck needs a restart."""
        return time.monotonic() - self._round_s

    @property
    def unknown_s(self) -> float:
        """Seconds for which another scaler has led and decided nothing of this model, which both can see; else 0.

        Such a leader has another list of models: it is of another release.
        """
        return 0.0 if self._unknown_since_s is None else time.monotonic() - self._unknown_since_s

    def begin_round(self) -> None:
        """Sets `age_s` to 0."""
        self._round_s = time.monotonic()

    async def end_round(self) -> None:
        """Has KEDA told what was decided, and wakes all who wait for `changed`."""
        self._told = self.decision
        is_seen = self.outstanding is not None and self.replicas is not None
        if self.decision is None and is_seen and self._leadership.holder and not self.leads:
            self._unknown_since_s = self._unknown_since_s or time.monotonic()
        else:
            self._unknown_since_s = None
        async with self.changed:
            self.changed.notify_all()
