"""What is expected of the arrivals at one time: a mixture of atoms, each a possible rate with its weight and spread."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# Width of the classes of rates that are merged, as a logarithm. Design: it saves time, and a rate changes by less than
# what one pod more or less would mean.
# Example: 1.00 and 1.03 jobs/s may become one atom, 1.00 and 1.11 jobs/s stay two.
CLASS = 0.1
# Probability below which something is not heard. Design: it saves time.
# Example: a hypothesis of 0.00005 is kept, but makes no atom.
UNHEARD = 1e-4


class Atom(NamedTuple):
    """A possible rate in jobs/s, its probability, and the standard error of the rate in jobs/s."""

    weight: float
    rate: float
    spread: float


def merged(atoms: Iterable[Atom], width: float = CLASS) -> tuple[Atom, ...]:
    """Returns atoms whose weights sum up to 1, slowest first; those of one class are one, of their mean and variance.

    Example: with a width of 0.1 the atoms (0.3, 1.00/s, 0.1/s) and (0.1, 1.02/s, 0.1/s) become (1, 1.005/s, 0.1/s).
    """
    classes: dict[int, list[float]] = {}
    for weight, rate, spread in atoms:
        sums = classes.setdefault(math.floor(math.log(rate) / width) if rate > 0 else -(10**9), [0.0, 0.0, 0.0])
        sums[0] += weight
        sums[1] += weight * rate
        sums[2] += weight * (rate * rate + spread * spread)
    total = math.fsum(weight for weight, _, _ in classes.values())
    found = []
    for weight, first, second in classes.values():
        if weight > 0:
            rate = first / weight
            found.append(Atom(weight / total, rate, math.sqrt(max(0.0, second / weight - rate * rate))))
    return tuple(sorted(found, key=lambda atom: atom.rate))


def mean(atoms: Iterable[Atom]) -> float:
    """Returns the expected rate in jobs/s."""
    return math.fsum(weight * rate for weight, rate, _ in atoms)
