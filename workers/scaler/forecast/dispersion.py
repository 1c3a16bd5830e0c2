"""How unevenly jobs come, as an index of dispersion: 0 for a clock, 1 for a Poisson process, more in bursts.

Two estimates are joined. Where jobs come one by one, the squared coefficient of variation of the gaps between them.
And the Allan factor, the mean squared difference of the counts of neighbouring blocks over twice their mean, which a
rate that changes slowly does not disturb (Allan, "Statistics of atomic frequency standards", 1966; as a measure of
point processes: Lowen and Teich, "Fractal-based point processes", 2005).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_GAPS_KEPT = 32
_PAIRS_KEPT = 60.0
_BLOCK_JOBS = 6
_BLOCK_S = (2.0, 30.0)
# What is thought before anything is known: a Poisson process. It counts for so many gaps, and so many pairs of blocks.
_PRIOR_GAPS = 2.0
_PRIOR_PAIRS = 1.0
_LEAST = 0.005
# So many pairs of blocks half confirm that jobs come in bursts.
_CONFIRMING_PAIRS = 10.0


@dataclass(frozen=True, slots=True)
class Unevenness:
    """What has been seen; times in seconds."""

    look_s: float = 0.0
    gaps_s: tuple[float, ...] = ()
    last_job_s: float | None = None
    block_s: float = 0.0
    block_jobs: int = 0
    before_s: float = 0.0
    before_jobs: int = 0
    pairs: float = 0.0
    allan: float = 0.0

    def seen(self, now_s: float, passed_s: float, jobs: int, rate: float, seen_s: float, scale_s: float) -> Unevenness:
        """With the jobs of the last `passed_s` seconds. `rate` is that of all `seen_s` seconds, in jobs/s.

        `scale_s` is the length of time whose unevenness matters.
        """
        after = self.with_gaps(now_s, passed_s, jobs)
        return after.with_block(passed_s, jobs, rate, seen_s, scale_s)

    def with_gaps(self, now_s: float, passed_s: float, jobs: int) -> Unevenness:
        """With the gaps between the new jobs."""
        if not jobs:
            return replace(self, look_s=passed_s)
        gap_s = passed_s / jobs
        first_s = now_s - passed_s + gap_s / 2
        gaps_s = [] if self.last_job_s is None else [first_s - self.last_job_s]
        gaps_s += [gap_s] * min(jobs - 1, _GAPS_KEPT)
        kept = (*self.gaps_s, *gaps_s)[-_GAPS_KEPT:]
        return replace(self, look_s=passed_s, gaps_s=kept, last_job_s=now_s - gap_s / 2)

    def with_block(self, passed_s: float, jobs: int, rate: float, seen_s: float, scale_s: float) -> Unevenness:
        """With the new jobs in the block that is being counted, or a new one begun."""
        length_s, count = self.block_s + passed_s, self.block_jobs + jobs
        least_s, most_s = _BLOCK_S
        wanted_s = min(max(scale_s, least_s), most_s, seen_s / 8)
        if length_s < wanted_s or (count < _BLOCK_JOBS and length_s * rate < 2 * _BLOCK_JOBS):
            return replace(self, block_s=length_s, block_jobs=count)
        after = replace(self, block_s=0.0, block_jobs=0, before_s=length_s, before_jobs=count)
        mean = (count + self.before_jobs) / (length_s + self.before_s)
        if not self.before_s or not mean:
            return after
        scale = 1 / length_s + 1 / self.before_s
        # A clock's counts differ by one from block to block: that is no unevenness.
        found = ((count / length_s - self.before_jobs / self.before_s) ** 2 - (scale / 2) ** 2) / (mean * scale)
        pairs = min(self.pairs + 1.0, _PAIRS_KEPT)
        return replace(after, pairs=pairs, allan=self.allan + (found - self.allan) / pairs)

    @property
    def dispersion(self) -> float:
        """The index of dispersion."""
        first = 1.0
        gaps = self.gaps_s
        mean_s = math.fsum(gaps) / len(gaps) if gaps else 0.0
        # Where several come between two looks, nobody knows how evenly.
        if mean_s > 2.5 * self.look_s:
            # A job's time is known to a look: that is no unevenness either.
            blur = (len(gaps) - 1) * self.look_s**2 / 6
            squares = max(0.0, math.fsum((gap - mean_s) ** 2 for gap in gaps) - blur)
            first = (_PRIOR_GAPS + squares / mean_s**2) / (_PRIOR_GAPS + len(gaps) - 1)
        return max(_LEAST, (_PRIOR_PAIRS * first + self.pairs * self.allan) / (_PRIOR_PAIRS + self.pairs))

    @property
    def bursts(self) -> float:
        """How far the blocks' index of dispersion is above a Poisson process's, as far as that has been confirmed."""
        return max(0.0, self.allan - 1) * self.pairs / (self.pairs + _CONFIRMING_PAIRS)
