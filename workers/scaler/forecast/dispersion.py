"""How unevenly jobs come, as an index of dispersion: 0 for a clock, 1 for a Poisson process, more in bursts.

Two estimates are joined:

- the squared coefficient of variation of the gaps between jobs, if jobs come one by one;
- the Allan factor: the mean squared difference of the counts of neighbouring blocks of time, over twice their mean. A
  rate that changes slowly does not disturb it (Allan, "Statistics of atomic frequency standards", 1966; as a measure of
  point processes: Lowen and Teich, "Fractal-based point processes", 2005).

Example of the Allan factor: blocks of 15 s with 10, 20, 10 and 20 jobs differ by 10 each time, and their mean is 15, so
it is 10^2 / (2 * 15) = 3.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median

# Number of gaps that are kept, the last ones. Judged by simulation: `--load constant:0.1`.
# Example: with one job each 10 s the last 5 min 20 s count.
_GAPS_KEPT = 32
# Gaps count only if their mean is longer than so many intervals between observations: if several jobs come within one
# interval, nobody knows how evenly. Judged by simulation: `--load constant:0.4`.
# Example: observed once a second, gaps of 3 s count, those of 2 s do not.
_GAP_INTERVALS = 2.5
# Number of pairs of blocks after which a new pair takes the place of an old one in the mean of the Allan factor.
# Judged by simulation: `--load burst:0.1,2,300,60`.
# Example: with blocks of 15 s the last 15 minutes count most.
_PAIRS_KEPT = 60.0
# Jobs that a block should have, as counts of 0 and 1 say little. A block ends without them once twice as many were to
# be expected. Judged by simulation: `--load constant:0.1`.
# Example: at 0.1 jobs/s a block lasts for 60 s if its 6 jobs come, and for 120 s at most.
_BLOCK_JOBS = 6
# Shortest and longest block that is wanted, in seconds. Judged by simulation: `--load burst:0.1,2,300,60`.
# Example: half of a lead of 31 s is 15.5 s, which is within; of a lead of 300 s it is 150 s, and 30 s are taken.
_BLOCK_S = (2.0, 30.0)
# Number of blocks that the time of observation should have, so that the first pairs are there soon. Design.
# Example: after 40 s of observation a block of 5 s is enough.
_BLOCKS_SEEN = 8
# Before anything is known, a Poisson process is assumed: it counts for so many gaps, and the estimate from the gaps for
# so many pairs of blocks. Judged by simulation: `--load ramping`.
# Example: five gaps of exactly 10 s give (2 + 0) / (2 + 5 - 1) = 0.33. If the Allan factor of 4 pairs is then 3, the
# index is (1 * 0.33 + 4 * 3) / (1 + 4) = 2.5.
_PRIOR_GAPS = 2.0
_PRIOR_PAIRS = 1.0
# Least index: what follows from the index (window lengths, errors) must not vanish. Design.
# Example: a perfect clock's index is 0.005, not 0.
_LEAST = 0.005
# Number of pairs of blocks that half confirm that jobs come in bursts. Judged by simulation:
# `--load burst:0.1,2,300,60`.
# Example: an Allan factor of 5 counts as bursts of (5 - 1) * 10 / (10 + 10) = 2 after 10 pairs, of 3.4 after 60.
_CONFIRMING_PAIRS = 10.0
# A pair counts for at most so many times the median of the last ones, or of a Poisson process: a single step of the
# rate is no burst. Judged by simulation: a load of 1 job/s after an idle hour.
# Example: a block of an idle hour beside one of 15 s with 15 jobs would count for 2,927; it counts for 9.
_MOST_MEDIANS = 9.0
_MEDIAN_PAIRS = 15


@dataclass(frozen=True, slots=True)
class Dispersion:
    """What has been learnt of how unevenly jobs come."""

    interval_s: float = 0.0  # between the last two observations
    gaps_s: tuple[float, ...] = ()  # between jobs, the last one last
    last_job_s: float | None = None  # when the last job came
    block_s: float = 0.0  # length so far of the block that is being counted
    block_jobs: int = 0
    before_s: float = 0.0  # length of the block before it; 0: there is none
    before_jobs: int = 0
    pairs: float = 0.0  # of blocks that the Allan factor rests on
    allan: float = 0.0  # the Allan factor
    last_pairs: tuple[float, ...] = ()  # what the last ones said

    def observe(
        self, now_s: float, passed_s: float, jobs: int, rate: float, seen_s: float, scale_s: float
    ) -> Dispersion:
        """Returns it with the jobs of the last `passed_s` seconds.

        `rate` is the mean of all `seen_s` seconds in jobs/s, `scale_s` the length of time whose unevenness matters.
        """
        after = self.with_gaps(now_s, passed_s, jobs)
        return after.with_block(passed_s, jobs, rate, seen_s, scale_s)

    def with_gaps(self, now_s: float, passed_s: float, jobs: int) -> Dispersion:
        """Returns it with the gaps between the new jobs, which are taken to be spread evenly over `passed_s`."""
        if not jobs:
            return replace(self, interval_s=passed_s)
        gap_s = passed_s / jobs
        first_s = now_s - passed_s + gap_s / 2
        gaps_s = [] if self.last_job_s is None else [first_s - self.last_job_s]
        gaps_s += [gap_s] * min(jobs - 1, _GAPS_KEPT)
        kept = (*self.gaps_s, *gaps_s)[-_GAPS_KEPT:]
        return replace(self, interval_s=passed_s, gaps_s=kept, last_job_s=now_s - gap_s / 2)

    def with_block(self, passed_s: float, jobs: int, rate: float, seen_s: float, scale_s: float) -> Dispersion:
        """Returns it with the new jobs in the current block, which ends if it is long enough."""
        length_s, count = self.block_s + passed_s, self.block_jobs + jobs
        least_s, most_s = _BLOCK_S
        wanted_s = min(max(scale_s, least_s), most_s, seen_s / _BLOCKS_SEEN)
        if length_s < wanted_s or (count < _BLOCK_JOBS and length_s * rate < 2 * _BLOCK_JOBS):
            return replace(self, block_s=length_s, block_jobs=count)
        after = replace(self, block_s=0.0, block_jobs=0, before_s=length_s, before_jobs=count)
        mean = (count + self.before_jobs) / (length_s + self.before_s)
        if not self.before_s or not mean:
            return after
        scale = 1 / length_s + 1 / self.before_s
        # A clock's counts differ by one from block to block, as blocks do not begin with a job: that is taken off.
        found = ((count / length_s - self.before_jobs / self.before_s) ** 2 - (scale / 2) ** 2) / (mean * scale)
        pairs = min(self.pairs + 1.0, _PAIRS_KEPT)
        counted = min(found, _MOST_MEDIANS * max(1.0, median(self.last_pairs or (1.0,))))
        last_pairs = (*self.last_pairs, found)[-_MEDIAN_PAIRS:]
        return replace(after, pairs=pairs, allan=self.allan + (counted - self.allan) / pairs, last_pairs=last_pairs)

    @property
    def index(self) -> float:
        """The index of dispersion."""
        from_gaps = 1.0
        gaps = self.gaps_s
        mean_s = math.fsum(gaps) / len(gaps) if gaps else 0.0
        if mean_s > _GAP_INTERVALS * self.interval_s:
            # When a job came is known to an interval only. Both ends of a gap add a variance of interval^2 / 12: that
            # is taken off.
            blur = (len(gaps) - 1) * self.interval_s**2 / 6
            squares = max(0.0, math.fsum((gap - mean_s) ** 2 for gap in gaps) - blur)
            from_gaps = (_PRIOR_GAPS + squares / mean_s**2) / (_PRIOR_GAPS + len(gaps) - 1)
        return max(_LEAST, (_PRIOR_PAIRS * from_gaps + self.pairs * self.allan) / (_PRIOR_PAIRS + self.pairs))

    @property
    def bursts(self) -> float:
        """How far the Allan factor is above a Poisson process's 1, as far as that has been confirmed."""
        return max(0.0, self.allan - 1) * self.pairs / (self.pairs + _CONFIRMING_PAIRS)
