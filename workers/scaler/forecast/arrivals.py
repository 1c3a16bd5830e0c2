"""How fast jobs will come, learnt from nothing but their number: a mixture of experts.

The experts are the rates of several windows (`windows.py`), the regimes with what followed on them (`regimes.py`,
`succession.py`), the recent past (`recent.py`), and seasons (`seasons.py`). Each counts as much as it has been right
(`track_record.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from workers.scaler.forecast import dispersion, regimes, seasons, windows
from workers.scaler.forecast.atoms import NO_JOBS, UNHEARD, Atom, Burst, mean, mixture
from workers.scaler.forecast.dispersion import NO_TIME, Count
from workers.scaler.forecast.recent import KEPT, leads, recent
from workers.scaler.forecast.regimes import BINS, LEAST_BIN_S, Hypotheses
from workers.scaler.forecast.seasons import SLOTS, Season
from workers.scaler.forecast.succession import Succession
from workers.scaler.forecast.track_record import QUARTERS, TrackRecord
from workers.scaler.forecast.windows import EXPERTS, WINDOWS_S

if TYPE_CHECKING:
    from collections.abc import Sequence

# Least dispersion that the regimes reckon with, as a clock's would make them sure of a change after one job. Of more
# than that of a Poisson process they do not know: jobs that come in bursts are for the recent past to foretell.
# Judged by simulation: `--load ramping`.
# Example: a job of a clock counts for 1 / 0.3 = 3 of a Poisson process.
LEAST_DISPERSION = 0.3
# Logarithm of the weight at first of an expert that has to show that it is right: the recent past, or a season. The
# regimes weigh as much as the best window, which is 1. The recent past counts only as far as jobs come more unevenly
# than by chance, and a season only once it was right: what came once need not come again an hour later. Judged by
# simulation: `--load days:2,3600`, and the trace of code completions.
# Example: exp(-3) = 0.05. On the second day a profile says 5 jobs/s where nothing came yet, and is right three times:
# it may then weigh exp(3 * 0.5 * 3 - 3) = 4 times as much as the best of all others. With a dispersion of 2 the recent
# past weighs (1 - 1 / 2) * 0.05 = 0.02.
UNPROVEN = -3.0


class Forecast(NamedTuple):
    """What is expected at one time: possible rates, the index of dispersion, and the probability of a known change.

    Some of the jobs of these rates come at once: `bursts` says how many, and how often.
    """

    atoms: tuple[Atom, ...]
    dispersion: float
    change: float = 0.0
    bursts: tuple[Burst, ...] = ()

    @property
    def rate(self) -> float:
        """The expected rate in jobs/s."""
        return mean(self.atoms)

    @property
    def spread(self) -> float:
        """The standard deviation of that rate."""
        squares = math.fsum(weight * (rate * rate + spread * spread) for weight, rate, spread in self.atoms)
        return math.sqrt(max(0.0, squares - self.rate**2))


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What has been learnt of arrivals; times in seconds of any clock that does not go back."""

    since_s: float
    last_s: float  # the last observation
    base: int  # jobs that had come before the first
    hypotheses: Hypotheses
    succession: Succession
    bin: Count = NO_TIME  # the present one, so far
    quarter: Count = NO_TIME  # the present quarter-lead, so far
    total: int = 0  # jobs that have come since
    busy: int = 0  # observations that found new jobs
    busy_s: float = 0.0  # the last of them
    weights: tuple[float, ...] = (0.0,) * len(WINDOWS_S)  # of all jobs, in each window
    counts: tuple[Count, ...] = ()  # of the last quarter-leads, oldest first
    again: tuple[Atom, ...] = (NO_JOBS,)  # what the recent past says of a quarter-lead
    again_for_long: tuple[Atom, ...] = (NO_JOBS,)  # and of a lead
    record: TrackRecord = field(default_factory=lambda: TrackRecord((0.0,) * (EXPERTS + 2 + len(SLOTS)), len(SLOTS)))
    seasons: tuple[Season, ...] = field(default_factory=seasons.begin)
    dispersion: float = 1.0  # the index

    @classmethod
    def begin(cls, now_s: float, arrived: int, quiet_s: float, lead_s: float) -> Arrivals:
        """Returns the state before the first observation. No job is taken to have come in the `quiet_s` before.

        Without that, one job in the first second would be a rate of 1 job/s.
        """
        since_s = now_s - quiet_s
        return cls(since_s, now_s, arrived, regimes.begin(since_s, lead_s), Succession(since_s))

    def observe(self, now_s: float, arrived: int, lead_s: float) -> Arrivals:
        """Returns it with what came since the last observation: `arrived` is the number of all jobs ever."""
        came = Count(arrived - self.base - self.total, now_s - self.last_s)
        after = replace(
            self,
            last_s=now_s,
            total=self.total + came.jobs,
            busy=self.busy + (came.jobs > 0),
            busy_s=now_s if came.jobs else self.busy_s,
            weights=windows.observe(self.weights, came.length_s, came.jobs),
            bin=self.bin.with_more(came),
            quarter=self.quarter.with_more(came),
        )
        if after.bin.length_s >= max(LEAST_BIN_S, lead_s / BINS):
            after = after.with_bin(lead_s)
            if after.quarter.length_s >= lead_s / QUARTERS:
                after = after.with_quarter(lead_s)
        return after

    def with_bin(self, lead_s: float) -> Arrivals:
        """Returns it with the bin that is over, and the next one empty."""
        (jobs, bin_s), now_s, even = self.bin, self.last_s, max(self._even, LEAST_DISPERSION)
        from_s = now_s - bin_s
        outlook = self.succession.outlook(from_s, self.total - jobs, bin_s, lead_s)
        hypotheses = regimes.observe(self.hypotheses, from_s, now_s, jobs, lead_s, even, outlook)
        succession = self.succession.observe(hypotheses, now_s, self.total, lead_s, even)
        seasons = tuple([season.observe(from_s, now_s, jobs) for season in self.seasons])
        return replace(self, hypotheses=hypotheses, succession=succession, seasons=seasons, bin=NO_TIME)

    def with_quarter(self, lead_s: float) -> Arrivals:
        """Returns it with the quarter-lead that is over, and the next one empty."""
        shares, said, _ = self.experts((1 - 0.5 / QUARTERS) * lead_s, lead_s)
        jobs, passed_s = self.quarter
        # What was not observed for long is as many quarter-leads as it lasted, with its jobs spread evenly.
        times, counts, record = min(KEPT, max(1, round(passed_s * QUARTERS / lead_s))), self.counts, self.record
        for n in range(times):
            count = Count(jobs * (n + 1) // times - jobs * n // times, passed_s / times)
            counts = (*counts, count)[-KEPT:]
            record = record.observe(*count, self._even, shares, said)
        index = dispersion.index(counts, [self.last_s - began_s for began_s in self.succession.changes])
        found = replace(self, counts=counts, record=record, dispersion=index, quarter=NO_TIME)
        return replace(found, again=recent(counts), again_for_long=recent(leads(counts, QUARTERS)))

    @property
    def shows_a_rate(self) -> bool:
        """Whether jobs have come at more than one time: what came at once at first says nothing of a rate."""
        return self.busy > 1

    @property
    def _even(self) -> float:
        """The dispersion of jobs that come by chance, or more evenly."""
        return min(self.dispersion, 1.0)

    def experts(self, ahead_s: float, lead_s: float) -> tuple[list[float], list[Sequence[Atom]], float]:
        """Returns the probability of each expert, what it says of the time in `ahead_s` seconds, and that of a change.

        Windows are first, then the regimes with what follows on them, the recent past, and seasons. The change is one
        that the regimes foresee.
        """
        now_s, total = self.last_s, self.total
        priors, said = windows.foretold(
            self.weights, now_s - self.since_s, now_s - self.busy_s, total, lead_s, self._even
        )
        outlook = self.succession.outlook(now_s, total, ahead_s, lead_s)
        lasting = regimes.foretold(self.hypotheses, now_s, ahead_s, lead_s, max(self._even, LEAST_DISPERSION))
        said.append([Atom(outlook.lasts * weight, *rate) for weight, *rate in lasting] + outlook.after)
        profiles = [season.foretold(now_s + ahead_s) for season in self.seasons]
        uneven = 1 - 1 / max(1.0, self.dispersion)
        past = UNPROVEN + math.log(uneven) if uneven else -math.inf
        proven = zip(profiles, self.record.scores[-len(SLOTS) :], strict=True)
        rounds = [UNPROVEN if one and score > 0 else -math.inf for one, score in proven]
        shares = self.record.weights([*priors, 0.0, past, *rounds])
        return shares, [*said, self.again, *profiles], shares[EXPERTS] * (1 - outlook.lasts)

    def forecast(self, ahead_s: float, lead_s: float) -> Forecast:
        """Returns what is to be expected in `ahead_s` seconds."""
        if not self.total:
            return Forecast((NO_JOBS,), self.dispersion)
        shares, said, change = self.experts(ahead_s, lead_s)
        past, quarter_s, said[EXPERTS + 1] = shares[EXPERTS + 1], lead_s / QUARTERS, self.again_for_long
        atoms = mixture(shares, said, UNHEARD)
        if past <= UNHEARD:
            return Forecast(atoms, self.dispersion, change)
        # What the recent past says of a quarter-lead is a burst.
        bursts = [Burst(past * weight / quarter_s, rate * quarter_s) for weight, rate, _ in self.again]
        return Forecast(atoms, self.dispersion, change, tuple(bursts))
