"""Windows: fits of several lengths as an expert (experiment)."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace

from workers.scaler.forecast.atoms import Atom
from workers.scaler.forecast.track_record import TrackRecord
from workers.scaler.forecast.windows import WINDOWS_S, WindowSums, fit_windows

WANDER = float(os.environ.get('X_CW','0.13'))
FEWEST_JOBS = 15.0
FAR_OFF = float(os.environ.get('X_FAR','2'))
LINE = float(os.environ.get('X_LINE','2'))
RECORD = float(os.environ.get('X_REC','0.5'))
_ROUNDING_JOBS = 0.25
_LEAST_S = 1e-6
W = float(os.environ.get('X_W', '0'))
INTER = float(os.environ.get('X_INTER', '1'))


@dataclass(frozen=True, slots=True)
class Curves:
    since_s: float
    last_s: float
    total: int = 0
    busy: int = 0
    sums: tuple[WindowSums, ...] = (WindowSums(),) * len(WINDOWS_S)
    record: TrackRecord = field(default_factory=TrackRecord)

    def observe(self, now_s: float, jobs: int, lead_s: float, dispersion: float) -> Curves:
        passed_s = now_s - self.last_s
        if passed_s < _LEAST_S:
            return replace(self, total=self.total + jobs)
        sums = tuple(
            [one.observe(window_s, passed_s, jobs) for window_s, one in zip(WINDOWS_S, self.sums, strict=True)]
        )
        seen_s, total = now_s - self.since_s, self.total + jobs
        record = self.record
        if total:
            record = record.observe(now_s, total, lead_s, dispersion, fit_windows(seen_s, sums))
        return replace(self, last_s=now_s, total=total, busy=self.busy + (jobs > 0), sums=sums, record=record)

    def atoms(self, ahead_s: float, lead_s: float, dispersion: float) -> list[Atom]:
        seen_s = self.last_s - self.since_s
        if seen_s <= 0 or not self.total:
            return [Atom(1.0, 0.0, 0.0)]
        fits = fit_windows(seen_s, self.sums)
        rate = max(self.total / seen_s, *[fit.level for fit in fits if fit.window_s >= lead_s], 0.0)
        suited_s = max(math.sqrt(lead_s * dispersion / rate / 2) / WANDER, min(FEWEST_JOBS / rate, lead_s))
        best_s = math.sqrt(lead_s * suited_s)
        believed = []
        known = 1 - 1 / self.busy
        for n, fit in enumerate(fits):
            prior = -FAR_OFF * math.log2(fit.window_s / best_s) ** 2
            constant, line = self.record.scores[2 * n : 2 * n + 2]
            believed.append((RECORD * constant + prior, fit.window_s, fit.constant))
            if min(fit.window_s, seen_s) >= lead_s and (drawn := fit.line(ahead_s)).scale < math.inf:
                believed.append((RECORD * line + prior - LINE, fit.window_s, drawn))
        best = max(one[0] for one in believed)
        weights = [math.exp(one[0] - best) for one in believed]
        total = math.fsum(weights)
        now = max(0.0, math.fsum(w * one[2].rate for w, one in zip(weights, believed, strict=True)) / total)
        window_s = math.fsum(w * one[1] for w, one in zip(weights, believed, strict=True)) / total
        found = []
        for w, (_, length_s, line) in zip(weights, believed, strict=True):
            if w / total < 1e-4:
                continue
            then = known * max(0.0, line.rate + line.trend * ahead_s)
            spread = known * math.sqrt(dispersion * now * line.scale + (_ROUNDING_JOBS / window_s) ** 2)
            spread = math.hypot(spread, W * ahead_s / lead_s * then * math.sqrt(min(1.0, dispersion)))
            found.append(Atom(w / total, then, spread))
        return found
