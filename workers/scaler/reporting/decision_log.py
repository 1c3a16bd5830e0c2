"""What a scaler logs: decisions when they change and once a minute, and each trouble once until it is over."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.scaler.policy import Decision

logger = logging.getLogger(__name__)

_EVERY_S = 60.0


class DecisionLog:
    """The log of one model's scaler: remembers what has been logged. A `name` is put before each line."""

    def __init__(self, name: str = "") -> None:
        self._before = f"{name}: " if name else ""
        self._last: tuple[int, bool] | None = None
        self._last_s = 0.0
        self._troubles: set[str] = set()

    def decided(self, decision: Decision) -> bool:
        """Logs it if that is due. Returns whether another number was decided than before."""
        last, state, now_s = self._last, (decision.replicas, decision.held), time.monotonic()
        if state == last and now_s - self._last_s < _EVERY_S:
            return False
        logger.info("%s%d replicas: %s", self._before, decision.replicas, decision.reason)
        self._last, self._last_s = state, now_s
        return last is not None and state[0] != last[0]

    def is_new(self, what: str) -> bool:
        """Notes that there is trouble with `what`. Returns whether there was none before."""
        known = what in self._troubles
        self._troubles.add(what)
        return not known

    def trouble(self, what: str, text: str) -> None:
        """Logs `text`, unless there has been trouble with `what` already."""
        if self.is_new(what):
            logger.warning("%s%s", self._before, text)

    def over(self, what: str) -> None:
        """Ends the trouble with `what`: the next one is logged again."""
        self._troubles.discard(what)
