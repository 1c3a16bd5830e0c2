"""Calls to the server that outlast its outages, and whether there is an outage now."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from workers.stream.link.connection import repeated
from workers.stream.link.errors import reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Outage:
    """Repeats calls while the server is unavailable.

    Logs each reason once in an outage, and once that the server is back, however many calls wait for it; `on_change` is
    called whenever `available` or `reason` may have changed.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._waiting: set[object] = set()
        self._said: set[str] = set()
        self.reason = ""  # of the present outage or the last one, in a sentence

    @property
    def available(self) -> bool:
        """Whether no call waits for the server to come back."""
        return not self._waiting

    async def call(self, call: Callable[[], Awaitable[T]], what: str) -> T:
        """Repeats `call`, which must be safe to repeat, with backoff for as long as the server is unavailable.

        Raises any other error, and a refused user or password.
        """
        token = object()
        try:
            result = await repeated(call, lambda error: self._fail(token, what, error))
            if token in self._waiting and len(self._waiting) == 1:
                logger.info("the server is back")
            return result
        finally:
            if token in self._waiting:
                self._waiting.discard(token)
                self._on_change()

    def _fail(self, token: object, what: str, error: Exception) -> None:
        if not self._waiting:
            self._said.clear()
        self.reason = reason(error)
        if self.reason not in self._said:
            logger.warning("the server is unavailable (%s: %s), trying until it is back", what, error)
        self._said.add(self.reason)
        self._waiting.add(token)
        self._on_change()
