"""What followed on what is expected to follow again."""

from __future__ import annotations

import pytest

from workers.scaler.forecast.regimes import Hypothesis
from workers.scaler.forecast.succession import BORN, SHORTEST_LEADS, EndedRegime, Succession

LEAD_S = 31.0
IDLE, BURST = EndedRegime(0.0, 840.0, 0.0), EndedRegime(2.0, 60.0, 840.0)
BURSTS = Succession(10_000.0, 1000, (IDLE, BURST) * 4)


def test_nothing_is_foreseen_before_a_regime_has_ended() -> None:
    nothing = Succession(0.0)
    assert nothing.outlook(900.0, 50, LEAD_S, LEAD_S) == (0.0, 1.0, [], 0.0, 0.0)


@pytest.mark.parametrize(("age_s", "least", "most"), [(300.0, 0.0, 0.01), (820.0, 0.2, 0.75), (835.0, 0.25, 0.75)])
def test_an_idle_time_is_expected_to_end_when_others_did(age_s: float, least: float, most: float) -> None:
    """Four idle times lasted for 840 s each."""
    outlook = BURSTS.outlook(10_000.0 + age_s, 1000, LEAD_S, LEAD_S)
    assert least <= 1 - outlook.lasts <= most
    assert sum(atom.weight for atom in outlook.after) == pytest.approx(1 - outlook.lasts)
    assert all(atom.rate == 2.0 for atom in outlook.after if atom.weight > 1e-6)


def test_a_level_that_was_never_seen_is_like_none_of_them() -> None:
    """20 jobs/s, for as long as a burst lasted."""
    outlook = BURSTS.outlook(10_050.0, 2000, LEAD_S, LEAD_S)
    assert outlook.lasts > 0.99
    assert outlook.share < 0.01


def test_what_comes_next_is_what_came_next_before() -> None:
    outlook = BURSTS.outlook(10_820.0, 1000, 1.0, LEAD_S)
    assert 0.5 * BORN < outlook.share <= BORN
    assert outlook.level == pytest.approx(2.0)
    assert 0 < 1 - outlook.lasts < 0.05


def test_the_more_alike_lengths_have_been_the_more_sharply_is_the_end_foreseen() -> None:
    """840 s each time, or between 720 and 960 s: the latter are no better known than before anything was seen."""
    uneven = [IDLE._replace(length_s=length_s) for length_s in (720.0, 960.0, 840.0, 780.0)]
    wide = Succession(10_000.0, 1000, tuple(one for idle in uneven for one in (idle, BURST)))
    soon, due = ([one.outlook(10_000.0 + age_s, 1000, 31.0, LEAD_S).lasts for one in (BURSTS, wide)]
                 for age_s in (740.0, 825.0))  # fmt: skip
    assert soon[0] > 0.95 > soon[1]
    assert due[0] < 0.7 < due[1]


@pytest.mark.parametrize(
    ("length_s", "remembered"), [(SHORTEST_LEADS * LEAD_S - 1, 0), (SHORTEST_LEADS * LEAD_S + 1, 1)]
)
def test_a_regime_that_was_shorter_than_half_a_lead_is_forgotten(length_s: float, remembered: int) -> None:
    """2 jobs/s, and then, for a minute, none."""
    idle = Hypothesis(length_s, prior_jobs=0.5, prior_s=8.0)
    after = Succession(0.0).observe((idle,), length_s + 60, round(2 * length_s), LEAD_S, 1.0)
    assert len(after.ended) == remembered
    assert (after.began_s, after.before) == (length_s, round(2 * length_s))
    assert all(one.level == pytest.approx(2.0, rel=0.05) and one.length_s == length_s for one in after.ended)


def test_a_chain_of_regimes_is_remembered_with_what_followed() -> None:
    after = Succession(0.0)
    for began_s, jobs, seen_s in ((60.0, 0, 100.0), (300.0, 100, 350.0)):
        total = 120 + jobs
        after = after.observe((Hypothesis(began_s, 0.5, 8.0, jobs),), seen_s, total, LEAD_S, 1.0)
    assert after.ended == (EndedRegime(2.0, 60.0, 0.0), EndedRegime(0.0, 240.0, 60.0))
    assert after.changes == [0.0, 60.0, 300.0]
    assert after.outlook(355.0, 230, 1.0, LEAD_S).level == pytest.approx(0.0, abs=0.01)


def test_a_job_that_seems_to_be_of_the_pause_does_not_make_it_another_kind() -> None:
    """Bursts of 60 jobs in 10 s, 40 s apart. The last job of one was counted as the first of the pause behind it."""
    before = (EndedRegime(0.0, 39.0, 0.0), EndedRegime(5.4, 11.0, 39.0))
    known = Succession(50.0, 60, before).outlook(80.0, 60, 11.0, 11.0)
    stray = Succession(50.0, 59, before).outlook(80.0, 60, 11.0, 11.0)
    assert known.lasts < 0.6
    assert stray.lasts < 0.85
    assert max(stray.after).rate == pytest.approx(5.4)
    busy = Succession(50.0, 30, before).outlook(80.0, 60, 11.0, 11.0)
    assert busy.lasts > 0.95
