"""The recent past, as it is expected again."""

from __future__ import annotations

import pytest

from workers.scaler.forecast.atoms import mean
from workers.scaler.forecast.dispersion import Count
from workers.scaler.forecast.recent import leads, recent


def test_rates_are_as_probable_as_they_were_frequent() -> None:
    """One quarter-lead in ten had 40 jobs; the latest count a little more."""
    again = recent([Count(40 if n % 10 == 5 else 0, 8.0) for n in range(100)])
    assert [atom.rate for atom in again] == pytest.approx([0.0, 5.0])
    assert again[1].weight == pytest.approx(0.1, abs=0.01)
    assert mean(again) == pytest.approx(0.5, abs=0.05)


def test_what_is_long_ago_counts_less() -> None:
    early, late = ([Count(8 * (n == at), 8.0) for n in range(160)] for at in (5, 155))
    assert mean(recent(early)) < 0.3 * mean(recent(late))


def test_a_lead_has_the_jobs_of_its_quarters() -> None:
    counts = [Count(40 if n == 2 else 0, 8.0) for n in range(7)]
    assert leads(counts, 4) == [(0, 8.0), (0, 16.0), (40, 24.0), (40, 32.0), (40, 32.0), (40, 32.0), (0, 32.0)]
