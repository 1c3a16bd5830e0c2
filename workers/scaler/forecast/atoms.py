"""What is expected of the arrivals at one time: a mixture of atoms, each a possible rate with its weight and spread."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# Width of the classes of rates that are merged, as a logarithm. Design: it saves time, and mean and variance stay. With
# 0.1 a decision takes a half longer, and nothing is better for it.
# Example: 1.00 and 1.30 jobs/s may become one atom, 1.00 and 1.40 jobs/s stay two.
CLASS = 0.3
# Probability below which something is not heard. Design: it saves time.
# Example: a hypothesis of 0.0005 is kept, but makes no atom.
UNHEARD = 1e-3
# Factor from which on two rates are not the same one. Judged by simulation: `--load burst:0,2,300,60 --process poisson`
# and `--load days:2,3600`.
# Example: 1 job/s, then 1.8 jobs/s: one rate; 1 job/s, then 2.5 jobs/s: two.
DIFFERENT = 2.0


class Atom(NamedTuple):
    """A possible rate in jobs/s, its probability, and the standard error of the rate in jobs/s."""

    weight: float
    rate: float
    spread: float


NO_JOBS = Atom(1.0, 0.0, 0.0)


class Burst(NamedTuple):
    """So many jobs come at once, and `per_s` times a second that is expected."""

    per_s: float
    jobs: float


def merged(atoms: Iterable[Atom]) -> tuple[Atom, ...]:
    """Returns atoms whose weights sum up to 1, slowest first; those of one class are one, of their mean and variance.

    Classes that are hardly heard are left out.
    Example: the atoms (0.3, 1.00/s, 0.1/s) and (0.1, 1.02/s, 0.1/s) become (1, 1.005/s, 0.1/s).
    """
    classes: dict[int, list[float]] = {}
    for weight, rate, spread in atoms:
        number = math.floor(math.log(rate) / CLASS) if rate > 0 else -(10**9)
        sums = classes.setdefault(number, [0.0, 0.0, 0.0])
        sums[0] += weight
        sums[1] += weight * rate
        sums[2] += weight * (rate * rate + spread * spread)
    least = UNHEARD * sum([weight for weight, _, _ in classes.values()])
    heard = [sums for _, sums in sorted(classes.items()) if sums[0] > least]
    total = sum([weight for weight, _, _ in heard])
    return tuple(
        [Atom(w / total, first / w, math.sqrt(max(0.0, second / w - (first / w) ** 2))) for w, first, second in heard]
    )


def mixture(shares: Iterable[float], said: Iterable[Iterable[Atom]], least: float = 0.0) -> tuple[Atom, ...]:
    """Returns what experts of these probabilities say together, if they are more than `least`."""
    parts = zip(shares, said, strict=False)
    return merged([Atom(share * one.weight, *one[1:]) for share, atoms in parts if share > least for one in atoms])


def mean(atoms: Iterable[Atom]) -> float:
    """Returns the expected rate in jobs/s."""
    return math.fsum(weight * rate for weight, rate, _ in atoms)


def differ(rate: float, other: float, slack: float) -> bool:
    """Returns whether the two are not the same rate; `slack` is added to both first."""
    return abs(math.log((rate + slack) / (other + slack))) > math.log(DIFFERENT)


def log_likelihood(count: float, shape: float, over: float) -> float:
    """Returns the logarithm of the probability of `count` jobs, up to a summand that depends on `count` alone.

    It is that of a Poisson process whose rate has a Gamma distribution (the negative binomial one): they have the mean
    `shape * over` and a variance that is 1 + `over` times as much.
    """
    came = math.lgamma(shape + count) - math.lgamma(shape) + count * math.log(over / (1 + over))
    return came - shape * math.log1p(over)


def upper_tail(deviations: float) -> float:
    """Returns the probability of a normal variate to be larger by that many standard deviations than its mean."""
    return 0.5 * math.erfc(deviations / math.sqrt(2))
