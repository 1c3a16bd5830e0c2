"""How fast jobs will come, learnt from nothing but their number: a mixture of regimes and of the recent past."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from workers.scaler.forecast import dispersion, regimes
from workers.scaler.forecast.atoms import UNHEARD, Atom, mean, merged
from workers.scaler.forecast.curves import Curves
from workers.scaler.forecast.recent import KEPT, QUARTERS, Recent, _again
from workers.scaler.forecast.record import Record
from workers.scaler.forecast.regimes import Hypothesis  # noqa: TC001 - pydantic reads it
from workers.scaler.forecast.succession import Succession

# Length of a bin, as a share of the lead, but at least LEAST_BIN_S. Design: half of it is how late a change is seen.
# Example: lead 31 s, one observation a second: each of them is a bin.
BINS, LEAST_BIN_S = 40.0, 0.5
# Least and greatest dispersion that the regimes reckon with. A clock's would make them sure of a change after one job.
# Judged by simulation: `--load ramping` and `--load burst:0.1,2,300,60`.
# Example: a job of a clock counts for 1 / 0.3 = 3 of a Poisson process.
DISPERSION = (0.3, 2.0)


class Forecast(NamedTuple):
    """What is expected at one time: possible rates, the index of dispersion, and the probability of a known change."""

    atoms: tuple[Atom, ...]
    dispersion: float
    change: float = 0.0

    @property
    def rate(self) -> float:
        """The expected rate in jobs/s."""
        return mean(self.atoms)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What has been learnt of arrivals; times in seconds of any clock that does not go back."""

    last_s: float  # the last observation
    base: int  # jobs that had come before the first
    hypotheses: tuple[Hypothesis, ...]
    succession: Succession
    total: int = 0  # jobs that have come since
    bin_s: float = 0.0  # length so far of the bin that is being counted
    bin_jobs: int = 0
    quarter_s: float = 0.0  # as long is the quarter-lead so far
    quarter_jobs: int = 0
    recent: Recent = field(default_factory=Recent)
    curves: Curves | None = None
    record: Record = field(default_factory=Record)
    dispersion: float = 1.0  # the index

    @classmethod
    def begin(cls, now_s: float, arrived: int, quiet_s: float, lead_s: float) -> Arrivals:
        """Returns the state before the first observation. No job is taken to have come in the `quiet_s` before.

        Without that, one job in the first second would be a rate of 1 job/s.
        """
        since_s = now_s - quiet_s
        return cls(now_s, arrived, regimes.begin(since_s, lead_s), Succession(since_s), curves=Curves(since_s, since_s))

    @property
    def _bounded(self) -> float:
        least, most = DISPERSION
        return min(max(self.dispersion, least), most)

    def observe(self, now_s: float, arrived: int, lead_s: float) -> Arrivals:
        """Returns it with what came since the last observation: `arrived` is the number of all jobs ever."""
        passed_s, jobs = now_s - self.last_s, arrived - self.base - self.total
        after = replace(
            self,
            curves=self.curves.observe(now_s, jobs, lead_s, max(self.dispersion, 0.005)),
            last_s=now_s,
            total=self.total + jobs,
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
        hypotheses = regimes.observe(self.hypotheses, self.last_s, self.bin_s, self.bin_jobs, lead_s, bounded, self.succession.next_level(self.last_s, self.total, lead_s))
        succession = self.succession.observe(hypotheses, self.last_s, self.total, lead_s, bounded)
        return replace(self, hypotheses=hypotheses, succession=succession, bin_s=0.0, bin_jobs=0)

    def with_quarter(self, lead_s: float) -> Arrivals:
        """Returns it with the quarter-lead that is over, and the next one empty."""
        ahead_s = (1 - 0.5 / QUARTERS) * lead_s
        atoms, _ = self._regimes(ahead_s, lead_s)
        curves = [[a] for _, a in self.curves.experts(ahead_s, lead_s, max(self.dispersion, 0.005))]
        # What was not observed for long is as many quarter-leads as it lasted, with its jobs spread evenly.
        times, recent = min(KEPT, max(1, round(self.quarter_s * QUARTERS / lead_s))), self.recent
        record = self.record
        for n in range(times):
            jobs = self.quarter_jobs * (n + 1) // times - self.quarter_jobs * n // times
            recent = recent.observe(jobs, self.quarter_s / times, atoms, self._bounded)
            record = record.observe(jobs, self.quarter_s / times, (*curves, atoms, recent.atoms), self._bounded)
        return replace(self, recent=recent, record=record, quarter_s=0.0, quarter_jobs=0, dispersion=dispersion.index(recent.counts))

    def _regimes(self, ahead_s: float, lead_s: float) -> tuple[list[Atom], float]:
        atoms = regimes.foretold(self.hypotheses, self.last_s, ahead_s, lead_s, self._bounded)
        lasts, following = self.succession.foretold(self.last_s, self.total, ahead_s, lead_s)
        return [Atom(lasts * weight, rate, spread) for weight, rate, spread in atoms] + following, 1 - lasts

    @property
    def rate(self) -> float:
        """The rate of now, in jobs/s."""
        return regimes.level(self.hypotheses, self.last_s, self._bounded) if self.total else 0.0

    def forecast(self, ahead_s: float, lead_s: float) -> Forecast:
        """Returns what is to be expected in `ahead_s` seconds."""
        if not self.total:
            return Forecast((Atom(1.0, 0.0, 0.0),), self.dispersion)
        atoms, change = self._regimes(ahead_s, lead_s)
        curves = self.curves.experts(ahead_s, lead_s, max(self.dispersion, 0.005))
        mixed = []
        from workers.scaler.forecast.record import PRIOR
        weights = self.record.weights([p for p, _ in curves] + [PRIOR[1], PRIOR[2]])
        for share, said in zip(weights, ([*[[a] for _, a in curves], atoms, self.recent.atoms]), strict=True):
            if share > UNHEARD and said:
                mixed += [Atom(share * weight, rate, spread) for weight, rate, spread in said]
        return Forecast(merged(mixed), self.dispersion, weights[-2] * change)
