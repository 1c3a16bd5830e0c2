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
from workers.scaler.forecast.atoms import UNHEARD, Atom, mean, merged
from workers.scaler.forecast.dispersion import Count
from workers.scaler.forecast.recent import KEPT, recent
from workers.scaler.forecast.regimes import Hypothesis  # noqa: TC001 - pydantic reads it
from workers.scaler.forecast.seasons import PERIODS, Season
from workers.scaler.forecast.succession import Succession
from workers.scaler.forecast.track_record import QUARTERS, TrackRecord
from workers.scaler.forecast.windows import EXPERTS, WINDOWS_S, Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

# Length of a bin, as a share of the lead, but at least LEAST_BIN_S. Design: half of it is how late a change is seen.
# Example: lead 31 s, one observation a second: each of them is a bin.
BINS, LEAST_BIN_S = 40.0, 0.5
# Least and greatest dispersion that the regimes reckon with. A clock's would make them sure of a change after one job,
# and that of large batches would hide it for long.
# Judged by simulation: `--load ramping` and `--load burst:0.1,2,300,60`.
# Example: a job of a clock counts for 1 / 0.3 = 3 of a Poisson process.
DISPERSION = (0.3, 3.0)
# Logarithms of the weights of the regimes and of the recent past at first. Judged by simulation:
# `--load burst:0,2,300,60` and the trace of code completions.
# Example: the recent past weighs exp(-3) = 0.05 of the regimes, which weigh as much as the best window.
REGIMES, RECENT = 0.0, -3.0
# Logarithm of the weight of a season at first, where all of these together count as 1. Judged by simulation:
# `--load days:2,3600` and `--load burst:0,2,300,60`.
# Example: exp(-4) = 0.02. On the second day a profile says 5 jobs/s where nothing came yet, and is right four times: it
# may then weigh exp(4 * 0.25 * 6 - 4) = 7 times as much as all others.
SEASON = -4.0


class Forecast(NamedTuple):
    """What is expected at one time: possible rates, the index of dispersion, and the probability of a known change."""

    atoms: tuple[Atom, ...]
    dispersion: float
    change: float = 0.0

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
    hypotheses: tuple[Hypothesis, ...]
    succession: Succession
    total: int = 0  # jobs that have come since
    busy: int = 0  # observations that found new jobs
    busy_s: float = 0.0  # the last of them
    weights: tuple[float, ...] = (0.0,) * len(WINDOWS_S)  # of all jobs, in each window
    bin_s: float = 0.0  # length so far of the bin that is being counted
    bin_jobs: int = 0
    quarter_s: float = 0.0  # as long is the quarter-lead so far
    quarter_jobs: int = 0
    counts: tuple[Count, ...] = ()  # of the last quarter-leads, oldest first
    record: TrackRecord = field(default_factory=lambda: TrackRecord.of(EXPERTS + 2, len(PERIODS)))
    seasons: tuple[Season, ...] = field(default_factory=seasons.begin)
    dispersion: float = 1.0  # the index

    @classmethod
    def begin(cls, now_s: float, arrived: int, quiet_s: float, lead_s: float) -> Arrivals:
        """Returns the state before the first observation. No job is taken to have come in the `quiet_s` before.

        Without that, one job in the first second would be a rate of 1 job/s.
        """
        since_s = now_s - quiet_s
        return cls(since_s, now_s, arrived, regimes.begin(since_s, lead_s), Succession(since_s))

    @property
    def _bounded(self) -> float:
        least, most = DISPERSION
        return min(max(self.dispersion, least), most)

    def observe(self, now_s: float, arrived: int, lead_s: float) -> Arrivals:
        """Returns it with what came since the last observation: `arrived` is the number of all jobs ever."""
        passed_s, jobs = now_s - self.last_s, arrived - self.base - self.total
        after = replace(
            self,
            last_s=now_s,
            total=self.total + jobs,
            busy=self.busy + (jobs > 0),
            busy_s=now_s if jobs else self.busy_s,
            weights=windows.observe(self.weights, passed_s, jobs),
            bin_s=self.bin_s + passed_s,
            bin_jobs=self.bin_jobs + jobs,
            quarter_s=self.quarter_s + passed_s,
            quarter_jobs=self.quarter_jobs + jobs,
        )
        if after.bin_s >= max(LEAST_BIN_S, lead_s / BINS):
            after = after.with_bin(lead_s)
            if after.quarter_s >= lead_s / QUARTERS - after.bin_s / 2:
                after = after.with_quarter(lead_s)
        return after

    def with_bin(self, lead_s: float) -> Arrivals:
        """Returns it with the bin that is over, and the next one empty."""
        bounded = self._bounded
        known = self.succession.known(self.last_s - self.bin_s, self.total - self.bin_jobs, self.bin_s, lead_s)
        hypotheses = regimes.observe(
            self.hypotheses, self.last_s, self.bin_s, self.bin_jobs, lead_s, bounded, known
        )  # fmt: skip
        succession = self.succession.observe(hypotheses, self.last_s, self.total, lead_s, bounded)
        profiles = [season.observe(self.last_s, self.bin_s, self.bin_jobs, lead_s) for season in self.seasons]
        return replace(
            self, hypotheses=hypotheses, succession=succession, seasons=tuple(profiles), bin_s=0.0, bin_jobs=0
        )  # fmt: skip

    def with_quarter(self, lead_s: float) -> Arrivals:
        """Returns it with the quarter-lead that is over, and the next one empty."""
        ahead_s, outlook = (1 - 0.5 / QUARTERS) * lead_s, self.outlook(lead_s)
        foretold = outlook.experts(ahead_s)
        # What was not observed for long is as many quarter-leads as it lasted, with its jobs spread evenly.
        times, counts, record = min(KEPT, max(1, round(self.quarter_s * QUARTERS / lead_s))), self.counts, self.record
        length_s, judged = self.quarter_s / times, min(self.dispersion, DISPERSION[1])
        for n in range(times):
            jobs = self.quarter_jobs * (n + 1) // times - self.quarter_jobs * n // times
            counts = (*counts, Count(jobs, length_s))[-KEPT:]
            record = record.observe(jobs, length_s, foretold, judged, outlook.shares)
        index = dispersion.index(counts)
        return replace(self, counts=counts, record=record, dispersion=index, quarter_s=0.0, quarter_jobs=0)

    def regimes(self, ahead_s: float, lead_s: float) -> list[Atom]:
        """Returns what they foretell, with what follows on them."""
        atoms = regimes.foretold(self.hypotheses, self.last_s, ahead_s, lead_s, self._bounded)
        lasts, following = self.succession.foretold(self.last_s, self.total, ahead_s, lead_s)
        return [Atom(lasts * weight, rate, spread) for weight, rate, spread in atoms] + following

    def outlook(self, lead_s: float) -> Outlook:
        """Returns what is known of the time to come."""
        seen_s, quiet_s = self.last_s - self.since_s, self.last_s - self.busy_s
        fitted = Windows.of(
            self.weights, seen_s, quiet_s, self.total, self.busy, lead_s, self.dispersion
        )  # fmt: skip
        again = RECENT if self.counts else -math.inf
        return Outlook(self, lead_s, fitted, self.record.weights([*fitted.priors, REGIMES, again], SEASON))

    def forecast(self, ahead_s: float, lead_s: float) -> Forecast:
        """Returns what is to be expected in `ahead_s` seconds."""
        return self.outlook(lead_s).at(ahead_s)


class Outlook(NamedTuple):
    """What all experts can say of any time, and the probability of each."""

    arrivals: Arrivals
    lead_s: float
    fitted: Windows
    shares: list[float]

    def experts(self, ahead_s: float, least: float = -1.0) -> list[Sequence[Atom]]:
        """Returns what each expert says of the time in `ahead_s` seconds, if its probability is more than `least`."""
        arrivals, heard = self.arrivals, [share > least for share in self.shares]
        said: list[Sequence[Atom]] = [(self.fitted.atom(expert),) if heard[expert] else () for expert in range(EXPERTS)]
        said.append(arrivals.regimes(ahead_s, self.lead_s) if heard[EXPERTS] else ())
        said.append(recent(arrivals.counts) if heard[EXPERTS + 1] else ())
        at_s = arrivals.last_s + ahead_s
        return [*said, *[season.foretold(at_s) for season in arrivals.seasons]]

    def at(self, ahead_s: float) -> Forecast:
        """Returns what is to be expected in `ahead_s` seconds."""
        arrivals = self.arrivals
        if not arrivals.total:
            return Forecast((Atom(1.0, 0.0, 0.0),), arrivals.dispersion)
        mixed = [
            Atom(share * weight, rate, spread)
            for share, atoms in zip(self.shares, self.experts(ahead_s, UNHEARD), strict=True)
            for weight, rate, spread in atoms
        ]
        lasts, _ = arrivals.succession.foretold(arrivals.last_s, arrivals.total, ahead_s, self.lead_s)
        change = self.shares[EXPERTS] * (1 - lasts)
        return Forecast(merged(mixed), arrivals.dispersion, change)
