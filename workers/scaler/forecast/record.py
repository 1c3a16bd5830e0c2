"""Experts by their record (experiment)."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.scaler.forecast.atoms import Atom, merged

if TYPE_CHECKING:
    from collections.abc import Sequence

FADE = float(os.environ.get("X_FADE", "0.01"))
SHARE, MOST = float(os.environ.get("X_SHARE", "0.25")), float(os.environ.get("X_MOST", "6.0"))
REC = float(os.environ.get('X_REC','1'))
PRIOR = tuple(float(x) for x in os.environ.get("X_PRIOR", "0,0,-2").split(","))  # curves, regimes, recent
_COARSE = 0.25
QUARTERS = 4


@dataclass(frozen=True, slots=True)
class Record:
    scores: tuple[float, ...] = (0.0,) * 20
    pending: tuple[tuple[tuple[Atom, ...], ...], ...] = ()

    def weights(self, priors: Sequence[float]) -> list[float]:
        found = [REC * score + prior for score, prior in zip(self.scores, priors, strict=True)]
        best = max(found)
        found = [math.exp(one - best) for one in found]
        total = math.fsum(found)
        return [one / total for one in found]

    def observe(self, jobs: int, length_s: float, experts: Sequence[Sequence[Atom]], dispersion: float) -> Record:
        scores, pending = self.scores, self.pending
        if len(pending) == QUARTERS:
            first, *rest = pending
            pending = tuple(rest)
            said = [likelihood(one, jobs, length_s, dispersion) for one in first]
            best = max(said)
            scores = tuple((1 - FADE) * score + SHARE * max(-MOST, one - best) for score, one in zip(scores, said, strict=True))
        return Record(scores, (*pending, tuple(merged(one, _COARSE) if len(one) > 1 else tuple(one) if one else (Atom(1.0, 0.0, 0.0),) for one in experts)))


def likelihood(atoms: Sequence[Atom], jobs: int, length_s: float, dispersion: float) -> float:
    found = []
    for weight, rate, spread in atoms:
        mean = rate * length_s + 0.25
        variance = max((spread * length_s) ** 2 + max(dispersion - 1, 0.0) * mean, 1e-6 * mean * mean)
        shape, over = mean * mean / variance, variance / mean
        found.append(
            math.log(weight)
            + math.lgamma(shape + jobs)
            - math.lgamma(shape)
            + jobs * math.log(over / (1 + over))
            - shape * math.log1p(over)
        )
    best = max(found)
    return best + math.log(math.fsum(math.exp(one - best) for one in found))
