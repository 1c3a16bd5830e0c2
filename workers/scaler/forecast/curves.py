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

    def observe(self, now_s: float, jobs: int, lead_s: float, dispersion: float) -> Curves:
        passed_s = now_s - self.last_s
        if passed_s < _LEAST_S:
            return replace(self, total=self.total + jobs)
        sums = tuple(
            [one.observe(window_s, passed_s, jobs) for window_s, one in zip(WINDOWS_S, self.sums, strict=True)]
        )
        total = self.total + jobs
        return replace(self, last_s=now_s, total=total, busy=self.busy + (jobs > 0), sums=sums)

    def experts(self, ahead_s: float, lead_s: float, dispersion: float) -> list[tuple[float, Atom]]:
        """prior log weight and what it says; two for each window"""
        seen_s = self.last_s - self.since_s
        if seen_s <= 0 or not self.total:
            return [(0.0 if n == 0 else -1e9, Atom(1.0, 0.0, 0.0)) for n in range(2 * len(WINDOWS_S))]
        fits = fit_windows(seen_s, self.sums)
        rate = max(self.total / seen_s, *[fit.level for fit in fits if fit.window_s >= lead_s], 0.0)
        suited_s = max(math.sqrt(lead_s * dispersion / rate / 2) / WANDER, min(FEWEST_JOBS / rate, lead_s))
        best_s = math.sqrt(lead_s * suited_s)
        known = 1 - 1 / self.busy
        found = []
        for fit in fits:
            prior = -FAR_OFF * math.log2(fit.window_s / best_s) ** 2
            lines = [(prior, fit.constant)]
            drawn = fit.line(ahead_s) if min(fit.window_s, seen_s) >= lead_s else None
            lines.append((prior - LINE, drawn) if drawn and drawn.scale < math.inf else (-1e9, fit.constant))
            for p, line in lines:
                then = known * max(0.0, line.rate + line.trend * ahead_s)
                level = known * max(fit.level, then)
                spread = math.sqrt(dispersion * level * line.scale + (known * _ROUNDING_JOBS / fit.window_s) ** 2)
                found.append((p, Atom(1.0, then, spread)))
        return found
