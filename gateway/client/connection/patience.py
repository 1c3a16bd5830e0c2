"""How long, and how often, a request is made again that could not be served."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from ..errors import GatewayUnavailable, LimitReached

if TYPE_CHECKING:
    from ..errors import LeadtimeError

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.1
_MAX_PAUSE_S = 8.0


class RetryPatience:
    """The pauses between tries: what `Retry-After` says, or else twice as long each time, from 0.1 s to 8 s.

    It is over `patience_s` after the first failure; whatever succeeds in between starts it anew.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._until: float | None = None
        self._pause_s = _FIRST_PAUSE_S

    def succeeded(self) -> None:
        """Starts anew."""
        self._until, self._pause_s = None, _FIRST_PAUSE_S

    async def pause(self, error: LeadtimeError) -> None:
        """Waits until the next try. Raises the error if another try would not help, or would come too late."""
        if not isinstance(error, GatewayUnavailable | LimitReached):
            raise error
        now, is_first = time.monotonic(), self._until is None
        if self._until is None:
            self._until = now + self._patience_s
        # Clients that lost the same gateway must not all come back at once.
        pause_s = self._pause_s * random.uniform(0.5, 1.5)  # noqa: S311
        if error.retry_after_s is not None:
            pause_s += error.retry_after_s
        if now + pause_s > self._until:
            raise error
        if is_first:  # whoever sits at a terminal would otherwise see nothing for a minute
            level = logging.WARNING if isinstance(error, GatewayUnavailable) else logging.INFO
            logger.log(level, "%s; trying again for %g s", error, self._patience_s)
        self._pause_s = min(2 * self._pause_s, _MAX_PAUSE_S)
        await asyncio.sleep(pause_s)
