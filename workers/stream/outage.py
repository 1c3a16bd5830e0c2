"""Calls to the server that outlast its outages, and whether there is an outage now."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from redis.exceptions import AuthenticationError

from workers.stream.connection import is_unavailable, repeated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Outage:
    """Repeats calls while the server is unavailable.

    Logs once that the server is gone and once that it is back, however many calls wait for it; `on_change` is called
    whenever `available` may have changed.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._waiting: set[object] = set()

    @property
    def available(self) -> bool:
        """Whether no call waits for the server to come back."""
        return not self._waiting

    async def call(self, call: Callable[[], Awaitable[T]], what: str) -> T:
        """Repeats `call`, which must be safe to repeat, with backoff for as long as the server is unavailable.

        Raises any other error, and AuthenticationError.
        """
        token = object()
        try:
            result = await repeated(call, lambda error: self._fail(token, what, error), _passes)
            if token in self._waiting and len(self._waiting) == 1:
                logger.info("the server is back")
            return result
        finally:
            if token in self._waiting:
                self._waiting.discard(token)
                self._on_change()

    def _fail(self, token: object, what: str, error: Exception) -> None:
        if not self._waiting:
            logger.warning("the server is unavailable (%s: %s), trying until it is back", what, error)
        self._waiting.add(token)
        self._on_change()


def _passes(error: Exception) -> bool:
    # In redis-py AuthenticationError is a ConnectionError, but repeating a refused password is no use.
    return is_unavailable(error) and not isinstance(error, AuthenticationError)
