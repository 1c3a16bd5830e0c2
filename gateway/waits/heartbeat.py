"""Signs of life for connections on which nothing happens: one timer for all of them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

# Proxies end connections that are silent for longer; nginx does after 60 s.
QUIET_S = 15.0
_LOOKS = 15  # within that time, so that comments are spread


class Quietable(Protocol):
    """A request that may have been quiet for long."""

    is_quiet: bool

    def ring(self) -> None:
        """Wakes it."""


class SignsOfLife:
    """Says to each request that has sent nothing for `QUIET_S` seconds that it `is_quiet`, and wakes it."""

    def __init__(self) -> None:
        self._since_s: dict[Quietable, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def watching(self, request: Quietable) -> Iterator[None]:
        """Watches the request, which has just sent something."""
        self.sent(request)
        self._start()
        try:
            yield
        finally:
            del self._since_s[request]
            if not self._since_s and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def sent(self, request: Quietable) -> None:
        """It has sent something."""
        self._since_s[request] = asyncio.get_running_loop().time()

    def _start(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(QUIET_S / _LOOKS, self._look)

    def _look(self) -> None:
        self._timer = None
        self._start()
        now_s = asyncio.get_running_loop().time()
        for request, since_s in self._since_s.items():
            if now_s >= since_s + QUIET_S * (1 - 1 / _LOOKS):
                request.is_quiet = True
                request.ring()
