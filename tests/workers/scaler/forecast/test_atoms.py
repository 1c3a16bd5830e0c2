"""What is merged keeps its mean and its variance."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.forecast.atoms import UNHEARD, Atom, mean, merged, upper_tail


def variance(atoms: list[Atom] | tuple[Atom, ...]) -> float:
    return sum(weight * (rate**2 + spread**2) for weight, rate, spread in atoms) - mean(atoms) ** 2


@given(
    found=st.lists(
        st.tuples(st.floats(0.01, 1), st.one_of(st.just(0.0), st.floats(0.01, 100)), st.floats(0, 10)),
        min_size=1,
        max_size=30,
    )
)
def test_mean_and_variance_stay_and_the_atoms_are_few(found: list[tuple[float, float, float]]) -> None:
    total = sum(weight for weight, _, _ in found)
    atoms = [Atom(weight / total, rate, spread) for weight, rate, spread in found]
    fewer = merged(atoms)
    assert sum(atom.weight for atom in fewer) == pytest.approx(1)
    if min(atom.weight for atom in atoms) > UNHEARD:
        assert mean(fewer) == pytest.approx(mean(atoms), rel=1e-6, abs=1e-9)
        assert variance(fewer) == pytest.approx(variance(atoms), rel=1e-3, abs=1e-3)
    assert [atom.rate for atom in fewer] == sorted(atom.rate for atom in fewer)
    # Rates that are further apart than a class: from 0.01 to 100 jobs/s, and none.
    assert len(fewer) <= math.ceil(math.log(1e4) / 0.3) + 2


def test_what_is_hardly_possible_is_left_out() -> None:
    (heard,) = merged([Atom(1.0, 1.0, 0.1), Atom(UNHEARD / 2, 50.0, 0.0)])
    assert heard == pytest.approx((1.0, 1.0, 0.1))
    assert merged([Atom(1.0, 0.0, 0.0)]) == (Atom(1.0, 0.0, 0.0),)


def test_the_normal_distribution_is_the_usual_one() -> None:
    for deviations, share in ((0.0, 0.5), (-1.0, 0.8413447), (1.959964, 0.025), (-40.0, 1.0), (50.0, 0.0)):
        assert upper_tail(deviations) == pytest.approx(share, abs=1e-7)
