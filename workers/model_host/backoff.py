"""Pauses between tries: to load a model, to fork it, to use one that seems to be broken."""

from __future__ import annotations

LOAD_ATTEMPTS = 3
BACKOFF_S = 0.5
_MOST_DOUBLINGS = 10


class Backoff:
    """A pause that doubles with each failure in succession, from `first_s` to `most_s` at most."""

    def __init__(self, first_s: float, most_s: float = 60.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._failures = 0

    def next_s(self) -> float:
        """The pause after one more failure, in seconds."""
        pause_s = min(self._most_s, self._first_s * 2.0 ** min(self._failures, _MOST_DOUBLINGS))
        self._failures += 1
        return pause_s

    def reset(self) -> None:
        """It went well: the next failure is the first of its succession."""
        self._failures = 0


class LoadAttempts:
    """Failures to load in succession. Few of them may be bad luck; then the model can't be loaded at all."""

    def __init__(self) -> None:
        self._failures = 0
        self._backoff = Backoff(BACKOFF_S)

    def next_s(self) -> float | None:
        """The pause before the next try, in seconds. None if there were enough."""
        self._failures += 1
        return self._backoff.next_s() if self._failures < LOAD_ATTEMPTS else None

    def reset(self) -> None:
        """It has loaded."""
        self._failures = 0
        self._backoff.reset()
