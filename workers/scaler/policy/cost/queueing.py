"""How likely a queue is to be too long: many servers, one line, heavy traffic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workers.scaler.forecast.atoms import upper_tail

# Standard deviations below the load at which Erlang's recursion may begin. Design: with so few of the servers all are
# busy, and ten deviations later nothing is left of the error.
# Example: a load of 400 servers begins at 400 - 10 * sqrt(400) = 200 servers instead of 0.
_BURN_IN_DEVIATIONS = 10.0
# Standard deviation, in jobs, below which a queue is taken for certain. Design: to avoid dividing by zero.
# Example: a queue that grows by exactly 4 jobs exceeds 3 with a probability of 1, and 5 with 0.
_CERTAIN_JOBS = 1e-9


@dataclass(slots=True)
class Delays:
    """Erlang's C for growing numbers of servers: the share of jobs that find all of them busy.

    `load` is in servers (erlangs). A. K. Erlang, "Solution of some problems in the theory of probabilities of
    significance in automatic telephone exchanges" (1917); by the usual recursion of the loss formula.
    Example: a load of 4 servers finds 5 busy for 55 % of the jobs, 8 for 6 %.
    """

    load: float
    servers: int = 0
    _inverse: float = 1.0  # of the loss probability

    def __post_init__(self) -> None:
        first = math.floor(self.load - _BURN_IN_DEVIATIONS * math.sqrt(self.load))
        if first > 0:
            self.servers, self._inverse = first, self.load / (self.load - first)

    def of(self, servers: int) -> float:
        """Returns the share for `servers`, which never falls from call to call; 1 if they are too few for the load."""
        while self.servers < servers:
            self.servers += 1
            self._inverse = 1.0 + self._inverse * self.servers / self.load
        if servers <= self.load:
            return 1.0
        blocked = 1.0 / self._inverse
        return blocked / (1 - self.load / servers * (1 - blocked))


def exceeds(level: float, mean: float, spread: float) -> float:
    """Returns the probability that a queue which is empty now will be longer than `level` jobs.

    It grows by `mean` jobs (negative: it drains) with a standard deviation of `spread`, but for its end at 0: Brownian
    motion reflected there (Harrison, "Brownian motion and stochastic flow systems", 1985).
    """
    if spread < _CERTAIN_JOBS:
        return float(mean > level)
    over = upper_tail((level - mean) / spread)
    # The reflection adds exp(2 drift level / variance) times the probability of the mirrored path. As logarithms: the
    # first factor may be huge while the second is tiny.
    mirrored = upper_tail((level + mean) / spread)
    if mirrored <= 0:
        return over
    return min(1.0, over + math.exp(min(0.0, 2 * mean * level / (spread * spread) + math.log(mirrored))))
