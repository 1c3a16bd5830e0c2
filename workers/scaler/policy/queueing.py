"""How likely a queue is to be too long: many servers, one line, heavy traffic."""

from __future__ import annotations

import math
from dataclasses import dataclass


def normal(x: float) -> float:
    """The standard normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


@dataclass(slots=True)
class Delays:
    """Erlang's C for growing numbers of servers: the share of jobs that find all of them busy.

    `load` is in servers (erlangs). A. K. Erlang, "Solution of some problems in the theory of probabilities of
    significance in automatic telephone exchanges" (1917); by the usual recursion of the loss formula.
    """

    load: float
    servers: int = 0
    _inverse: float = 1.0  # of the loss probability

    def __post_init__(self) -> None:
        # Of many servers the first are all busy, and what the loss was there is forgotten ten deviations later.
        first = math.floor(self.load - 10 * math.sqrt(self.load))
        if first > 0:
            self.servers, self._inverse = first, self.load / (self.load - first)

    def of(self, servers: int) -> float:
        """`servers` never falls from call to call. 1 where they are too few for the load."""
        while self.servers < servers:
            self.servers += 1
            self._inverse = 1.0 + self._inverse * self.servers / self.load
        if servers <= self.load:
            return 1.0
        blocked = 1.0 / self._inverse
        return blocked / (1 - self.load / servers * (1 - blocked))


def exceeds(level: float, drift: float, variance: float, error: float, after_s: float) -> float:
    """The probability that a queue which is empty now is longer than `level` jobs in `after_s` seconds.

    Brownian motion reflected at 0 with `drift` jobs/s (negative: it drains) and `variance` jobs^2/s (Harrison,
    "Brownian motion and stochastic flow systems", 1985); `error` is the standard error of the drift, in jobs/s.
    """
    mean = drift * after_s
    spread = math.sqrt(variance * after_s + (error * after_s) ** 2)
    if spread < 1e-9:
        return float(mean > level)
    over = 1 - normal((level - mean) / spread)
    # It is reflected: exp(2 drift level / variance) times the chance of the mirrored way. As logarithms: the first
    # factor may be huge where the second is tiny.
    mirrored = normal((-level - mean) / spread)
    if mirrored <= 0:
        return over
    return min(1.0, over + math.exp(min(0.0, 2 * mean * level / spread**2 + math.log(mirrored))))
