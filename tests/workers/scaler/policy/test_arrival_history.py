"""Which jobs have waited for how long, as far as it is remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.policy.arrival_history import ArrivalHistory


def observed(counts: list[int], objective_s: float) -> ArrivalHistory:
    """An observation each second, from 1 s on."""
    history = ArrivalHistory()
    for second, count in enumerate(counts, 1):
        history = history.observe(float(second), count, objective_s)
    return history


def test_the_jobs_that_came_last_have_waited_least() -> None:
    history = observed([0, 2, 4, 6, 8, 10], 5.0)
    # It is 6 s, 3 jobs wait: they came after 4.5 s, and 5 s later they have all waited for 5 s.
    assert history.due(3, 6.0, 5.0) == 0
    assert history.due(3, 9.5, 5.0) == 0
    assert history.due(3, 10.0, 5.0) == pytest.approx(1)
    assert history.due(3, 10.5, 5.0) == pytest.approx(2)
    assert history.due(3, 11.0, 5.0) == 3
    assert history.due(3, 100.0, 5.0) == 3


def test_jobs_that_came_before_the_history_are_due() -> None:
    assert observed([10] * 20, 5.0).due(4, 20.0, 5.0) == 4
    assert ArrivalHistory().due(4, 20.0, 5.0) == 4


@given(
    jobs=st.lists(st.integers(0, 50), min_size=1, max_size=400),
    objective_s=st.floats(0.01, 1e4),
    later_s=st.floats(0, 1e4),
    share=st.floats(0, 1),
)
def test_the_history_stays_small_and_only_waiting_jobs_are_due(
    jobs: list[int], objective_s: float, later_s: float, share: float
) -> None:
    counts = [sum(jobs[: n + 1]) for n in range(len(jobs))]
    history, waiting = observed(counts, objective_s), int(share * counts[-1])
    assert len(history.counts) <= 2 * 64 + 2
    soon, late = (history.due(waiting, len(jobs) + after_s, objective_s) for after_s in (later_s, 2 * later_s))
    assert 0 <= soon <= late <= waiting
    assert history.due(waiting, len(jobs) + 2 * objective_s, objective_s) == waiting
