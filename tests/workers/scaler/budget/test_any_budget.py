"""What holds for any models and any budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.scaler.budget.worlds import BudgetedModel, settle, step, used

if TYPE_CHECKING:
    from collections.abc import Sequence

BUDGET = {"pods": 12.0, "gpu": 8.0}
_counts = st.integers(0, 12)


@st.composite
def budgeted_models(draw: st.DrawFn) -> list[BudgetedModel]:
    """Some models, whose guaranteed shares are within the budget."""
    models: list[BudgetedModel] = []
    for i in range(draw(st.integers(1, 5))):
        gpus = float(draw(st.integers(0, 2)))
        model = BudgetedModel(
            f"model-{i}",
            draw(_counts),
            draw(st.floats(0, 20)),
            draw(st.integers(0, 3)),
            {"pods": 1.0, "gpu": gpus},
            draw(_counts),
            draw(st.integers(0, 3)),
            slow=draw(st.booleans()),
        )
        if promised([*models, model]):
            models.append(model)
    return models or [BudgetedModel("model", 5)]


def promised(models: Sequence[BudgetedModel]) -> bool:
    return all(sum(m.guaranteed * m.takes[name] for m in models) <= amount for name, amount in BUDGET.items())


changes = st.lists(st.tuples(st.integers(0, 4), _counts, _counts, st.floats(0, 20)), max_size=12)


@given(budgeted_models(), changes)
@settings(max_examples=150, deadline=None)
def test_never_above_the_budget_and_a_guarantee_is_kept(
    models: list[BudgetedModel], later: list[tuple[int, int, int, float]]
) -> None:
    for i, wanted, busy, saves in [(0, models[0].wanted, models[0].busy, models[0].saves), *later]:
        model = models[i % len(models)]
        model.wanted, model.busy, model.saves = wanted, busy, saves
        before = [m.granted for m in models]
        step(models, BUDGET)
        for name, amount in BUDGET.items():
            assert used(models, name) <= amount
            assert sum(m.granted * m.takes[name] for m in models) <= amount
        for was, m in zip(before, models, strict=True):
            assert m.granted <= m.wanted
            assert m.granted >= min(was, m.wanted, m.guaranteed)  # nothing is taken of a guaranteed share
    settle(models, BUDGET)
    assert all(m.granted >= min(m.wanted, m.guaranteed) for m in models)


@given(budgeted_models(), changes, st.lists(st.integers(0, 31), min_size=13, max_size=13))
@settings(max_examples=150, deadline=None)
def test_orders_that_are_polled_for_now_and_then_are_within_the_budget(
    models: list[BudgetedModel], later: list[tuple[int, int, int, float]], asking: list[int]
) -> None:
    """A wish may dip and come back between two polls: the pods are still there, and nobody else has got their part."""
    for model in models:
        model.polled, model.slow = True, False
    for mask, (i, wanted, busy, saves) in zip(asking, later, strict=False):
        model = models[i % len(models)]
        model.wanted, model.busy, model.saves = wanted, busy, saves
        for k, m in enumerate(models):
            m.asks = bool(mask >> k & 1)
        before = [min(m.there, m.wanted, m.guaranteed) for m in models]
        step(models, BUDGET)
        assert all(used(models, name) <= amount for name, amount in BUDGET.items())
        assert all(m.granted >= kept for kept, m in zip(before, models, strict=True))


@given(budgeted_models(), changes)
@settings(max_examples=150, deadline=None)
def test_a_pod_with_a_job_goes_only_for_a_guaranteed_share(
    models: list[BudgetedModel], later: list[tuple[int, int, int, float]]
) -> None:
    for model in models:
        model.guaranteed = 0
    settle(models, BUDGET, 3)
    for i, wanted, busy, saves in later:
        model = models[i % len(models)]
        model.wanted, model.busy, model.saves = wanted, busy, saves
        before = [min(m.busy, m.there, m.granted) for m in models]  # those beyond, their own model has let go
        step(models, BUDGET)
        assert all(m.granted >= min(was, m.wanted) for was, m in zip(before, models, strict=True))


@given(budgeted_models())
@settings(max_examples=150, deadline=None)
def test_work_conserving_and_at_rest_while_nothing_changes(models: list[BudgetedModel]) -> None:
    granted = settle(models, BUDGET, 8)
    for model in models:
        room = all(used(models, name) + model.takes[name] <= amount for name, amount in BUDGET.items())
        assert model.granted == model.wanted or not room
    moves = [model.moves for model in models]
    assert settle(models, BUDGET, 20) == granted
    assert [model.moves for model in models] == moves


@given(budgeted_models(), st.lists(st.floats(0.85, 1.15), min_size=20, max_size=20))
@settings(max_examples=100, deadline=None)
def test_what_is_foreseen_a_little_differently_each_time_moves_no_pods(
    models: list[BudgetedModel], noise: list[float]
) -> None:
    """15 % up and down are less than a start costs."""
    for model in models:
        model.takes = {"pods": 1.0}
    settle(models, BUDGET, 8)
    saves, moves = [model.saves for model in models], [model.moves for model in models]
    for k, factor in enumerate(noise):
        for i, model in enumerate(models):
            model.saves = saves[i] * (factor if (i + k) % 2 else 1.0)
        step(models, BUDGET)
    assert [model.moves for model in models] == moves
