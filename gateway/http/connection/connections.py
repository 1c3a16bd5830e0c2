"""What all connections of a process share: their limits, what they hold, and how many there may be."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.http.connection.budget import ByteBudget

_LOOK_INTERVAL_S = 0.1
_LEAST_REFUSED = 10


class IdleConnection(Protocol):
    """A connection that may be idle."""

    @property
    def quiet_since_s(self) -> float | None:
        """The loop's time at which it became idle, or None while it does something."""

    def leave(self) -> bool:
        """Closes the connection at once. False if a request has arrived meanwhile."""


@dataclass(slots=True)
class Connections:
    """Limits of every connection. `on_refused` gets the status of each request that reached no endpoint.

    Scripts of the `origins` may read such a refusal.
    """

    head_timeout_s: float
    write_timeout_s: float
    most: int
    budget: ByteBudget
    on_refused: Callable[[int], None]
    origins: Sequence[str] = ()
    _looked_s: float = 0.0

    @property
    def most_refused(self) -> int:
        """How many connections beyond `most` get the time to read their refusal."""
        return max(_LEAST_REFUSED, self.most // 10)

    def make_place(self, others: Iterable[IdleConnection], now_s: float) -> bool:
        """Closes the connections that have been idle for longest, a hundredth of all. False if there is none.

        A look at all connections takes milliseconds, so there is none within 0.1 s of another that was in vain.
        """
        if now_s < self._looked_s + _LOOK_INTERVAL_S:
            return False
        quiet = ((one.quiet_since_s, one) for one in others)
        idle = sorted(((since_s, one) for since_s, one in quiet if since_s is not None), key=itemgetter(0))
        left = [one.leave() for _, one in idle[: 1 + self.most // 100]].count(True)
        self.budget.cuts["connections"] += left
        if not left:
            self._looked_s = now_s
        return left > 0
