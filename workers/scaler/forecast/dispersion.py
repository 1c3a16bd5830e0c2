"""How unevenly jobs come, as an index of dispersion: 0 for a clock, 1 for a Poisson process, more in bursts.

It is the Allan factor: the mean squared difference of the counts of neighbouring blocks of time, over twice their mean.
A rate that changes slowly does not disturb it (Allan, "Statistics of atomic frequency standards", 1966; as a measure of
point processes: Lowen and Teich, "Fractal-based point processes", 2005).

Example: blocks of 15 s with 10, 20, 10 and 20 jobs differ by 10 each time, and the mean of each pair is 15, so each
pair has 10^2 / (2 * 15) = 3.3.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

# Jobs that a block should have, as counts of 0 and 1 say little; but there should be FEWEST_BLOCKS of them.
# Judged by simulation: `--load constant:0.1 --process deterministic`.
# Example: at 0.1 jobs/s a block is 8 quarter-leads long: 62 s with a lead of 31 s.
BLOCK_JOBS, FEWEST_BLOCKS = 6.0, 8
# Only the lowest of the pairs count, this share of them: a rise of the rate is no burst. Of a Poisson process they have
# the mean TRIMMED_MEAN, and not 1: that of the lower 0.7 of a chi-squared distribution with one degree of freedom.
# Judged by simulation: `--load burst:0,2,300,60`.
# Example: of the pairs 0.1, 0.2, 0.5, 1, 2 and 3600 (nothing, then a flood) the first five count. Their mean is 0.76,
# so the index is 0.76 / 0.31 = 2.5; the mean of all would be 601.
TRIMMED, TRIMMED_MEAN = 0.7, 0.31
# Before anything is known a Poisson process is assumed: it counts for so many pairs. Design: so no index is 0.
# Example: four pairs of 0 make (4 * 1 + 4 * 0) / 8 = 0.5, and 159 of them, the most, 4 / 163 = 0.02.
PRIOR_PAIRS = 4.0


class Count(NamedTuple):
    """How many jobs came within how many seconds."""

    jobs: int
    length_s: float

    def with_more(self, later: Count) -> Count:
        """Returns the count of both times."""
        return Count(self.jobs + later.jobs, self.length_s + later.length_s)


NO_TIME = Count(0, 0.0)


def index(counts: Sequence[Count], changes_s: Sequence[float] = ()) -> float:
    """Returns the index of dispersion of jobs that were counted in blocks of time one after the other.

    The rate is known to have changed `changes_s` before the end. What differs for that is no chance: pairs with a
    change between their ends do not count. That makes an index of more than 1 less, down to 1, and no other. (Judged by
    simulation: `--load burst:0.1,2,300,60`, which costs a fifth more if a clock's may fall as well.)
    Example: bursts of 2 jobs/s for a minute each 5 minutes, by chance: the index of all is 11, without changes 1.
    """
    jobs = [0, *accumulate(count.jobs for count in counts)]
    length_s = [0.0, *accumulate(count.length_s for count in counts)]
    if not jobs[-1]:
        return 1.0
    size = max(1, min(math.ceil(BLOCK_JOBS * len(counts) / jobs[-1]), len(counts) // FEWEST_BLOCKS))
    # Blocks begin with each count, as it is chance with which they do: of 3 counts each there are 3 times as many.
    blocks = [Count(jobs[n + size] - jobs[n], length_s[n + size] - length_s[n]) for n in range(len(counts) - size + 1)]
    pairs = {n: _pair(blocks[n - size], blocks[n]) for n in range(size, len(blocks)) if jobs[n + size] > jobs[n - size]}
    found = _mean_index(pairs.values(), size)
    if found <= 1 or not changes_s:
        return found
    changed_s = [length_s[-1] - ago_s for ago_s in changes_s]
    within = [
        pair
        for n, pair in pairs.items()
        if not any(length_s[n - size] < at_s < length_s[n + size] for at_s in changed_s)
    ]
    return min(found, max(1.0, _mean_index(within, size)))


def _mean_index(pairs: Collection[float], size: int) -> float:
    """Returns the index by pairs of blocks, `size` of which overlap with each other."""
    kept = sorted(pairs)[: math.ceil(TRIMMED * len(pairs))]
    found = math.fsum(kept) / len(kept) / TRIMMED_MEAN if kept else 0.0
    return (PRIOR_PAIRS + found * len(pairs) / size) / (PRIOR_PAIRS + len(pairs) / size)


def _pair(one: Count, other: Count) -> float:
    scale = 1 / one.length_s + 1 / other.length_s
    mean = (one.jobs + other.jobs) / (one.length_s + other.length_s)
    # A clock's counts differ by one from block to block, as blocks do not begin with a job: that is taken off.
    apart = (one.jobs / one.length_s - other.jobs / other.length_s) ** 2 - (scale / 2) ** 2
    return max(0.0, apart / (mean * scale))
