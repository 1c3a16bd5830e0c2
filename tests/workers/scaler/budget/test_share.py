"""Who gets what of a budget, in cases that can be reckoned by hand."""

from __future__ import annotations

import pytest

from tests.workers.scaler.budget.worlds import BudgetedModel, settle, step
from workers.scaler.budget import share
from workers.scaler.budget.worth import bid, worth

EIGHT = {"pods": 8.0}


def test_all_get_what_they_want_if_there_is_enough() -> None:
    models = [BudgetedModel("whisper", 3), BudgetedModel("llava", 5)]
    grants = step(models, EIGHT)
    assert [(grant.replicas, grant.reason) for grant in grants] == [(3, ""), (5, "")]


def test_pods_go_where_one_more_saves_the_most() -> None:
    models = [BudgetedModel("whisper", 6, saves=1.0), BudgetedModel("llava", 6, saves=0.2)]
    assert settle(models, EIGHT) == [6, 2]


def test_the_reason_says_who_got_what_and_why() -> None:
    models = [BudgetedModel("whisper", 6, saves=1.0), BudgetedModel("llava", 6, saves=0.2, guaranteed=1)]
    _, llava = step(models, EIGHT)
    assert llava.reason == (
        "the budget (8 pods) gives 2 of 6, 1 guaranteed: one more would save 0.2 late jobs/s here, the last of whisper "
        "saves 1; whisper has 6"
    )


def test_a_guaranteed_share_comes_before_what_saves_more() -> None:
    models = [BudgetedModel("whisper", 9, saves=5.0), BudgetedModel("llava", 4, saves=0.01, guaranteed=2)]
    assert settle(models, EIGHT) == [6, 2]


def test_a_guaranteed_share_that_nobody_wants_is_lent_and_given_back() -> None:
    whisper, llava = BudgetedModel("whisper", 9), BudgetedModel("llava", 0, saves=0.01, guaranteed=2)
    assert settle([whisper, llava], EIGHT) == [8, 0]
    llava.wanted = 3
    assert settle([whisper, llava], EIGHT) == [6, 2]


def test_a_lent_pod_is_asked_back_even_if_none_is_idle() -> None:
    """A model whose queue never ends would keep what is another's for ever."""
    whisper, llava = BudgetedModel("whisper", 9, busy=9, drain=5), BudgetedModel("llava", 0, guaranteed=1)
    settle([whisper, llava], EIGHT)
    llava.wanted = 1
    _, grant = step([whisper, llava], EIGHT)
    assert (whisper.there, len(whisper.leaving), llava.there) == (7, 1, 0)
    assert grant.reason.endswith("1 guaranteed: 1 more when pods of whisper that end are gone; whisper has 7")
    assert settle([whisper, llava], EIGHT, 10) == [7, 1]


def test_no_pod_with_a_job_goes_for_what_another_model_saves() -> None:
    whisper, llava = BudgetedModel("whisper", 8, saves=0.01), BudgetedModel("llava", 0, saves=50.0)
    settle([whisper, llava], EIGHT)
    whisper.busy, llava.wanted = 7, 8
    assert settle([whisper, llava], EIGHT) == [7, 1]
    assert step([whisper, llava], EIGHT)[1].reason == (
        "the budget (8 pods) gives 1 of 8: one more would save 50 late jobs/s here, the last of whisper saves 0.01 and "
        "has a job; whisper has 7"
    )


def test_a_pod_moves_only_if_that_pays_for_the_start() -> None:
    whisper, llava = BudgetedModel("whisper", 8, saves=1.0), BudgetedModel("llava", 0, saves=1.4)
    settle([whisper, llava], EIGHT)
    llava.wanted = 8
    assert settle([whisper, llava], EIGHT) == [8, 0]
    llava.saves = 2.0
    assert settle([whisper, llava], EIGHT) == [0, 8]


def test_nobody_gets_a_place_before_the_pod_in_it_is_gone() -> None:
    whisper, llava = BudgetedModel("whisper", 8, saves=0.01, drain=3), BudgetedModel("llava", 0, saves=9.0)
    settle([whisper, llava], EIGHT)
    llava.wanted = 2
    grants = [step([whisper, llava], EIGHT)[1].replicas for _ in range(5)]
    assert grants == [0, 0, 0, 0, 2]


def test_pods_that_were_called_off_count_until_they_are_gone_beside_those_that_are_wanted_again() -> None:
    """They may go for the last order, which is still carried out, while others come for this one."""
    whisper = BudgetedModel("whisper", 7, slow=True, drain=2)
    step([whisper], EIGHT)
    whisper.wanted = 0
    step([whisper], EIGHT)
    whisper.wanted = 2
    grants = [step([whisper], EIGHT)[0].replicas for _ in range(4)]
    assert grants == [1, 1, 1, 2]


def test_what_cannot_be_seen_keeps_what_it_has() -> None:
    whisper, llava = BudgetedModel("whisper", 6, saves=0.01), BudgetedModel("llava", 0, saves=9.0, guaranteed=4)
    settle([whisper, llava], EIGHT)
    whisper.unseen, llava.wanted = True, 8
    assert settle([whisper, llava], EIGHT) == [6, 2]


def test_scarce_is_what_a_pod_takes_most_of() -> None:
    """Both save the same, but one takes two GPUs for it. What is left over goes to whom it is enough for."""
    gpus = {"nvidia.com/gpu": 8.0}
    models = [
        BudgetedModel("large", 4, takes={"nvidia.com/gpu": 2.0}),
        BudgetedModel("small", 5, takes={"nvidia.com/gpu": 1.0}),
        BudgetedModel("cpu", 9, takes={}),
    ]
    assert settle(models, gpus) == [1, 5, 9]


def test_a_smaller_budget_than_before_is_kept_at_once() -> None:
    models = [BudgetedModel("whisper", 5, busy=5), BudgetedModel("llava", 3, busy=3)]
    settle(models, EIGHT)
    assert sum(grant.replicas for grant in step(models, {"pods": 4.0})) == 4


def test_pods_that_save_nothing_alone_are_worth_what_they_save_together() -> None:
    def late(replicas: object) -> list[float]:
        return [{0: 4.0, 1: 4.0, 2: 0.0, 3: 0.0}[n] for n in replicas]  # type: ignore[attr-defined]

    model = BudgetedModel("whisper", 3)
    model.late = late  # type: ignore[method-assign]
    claim = model.claim()
    assert worth(claim) == pytest.approx([120.0, 120.0, 0.0])


def test_a_pod_that_is_there_counts_its_start() -> None:
    claim = BudgetedModel("whisper", 3, granted=1).claim()
    assert (bid(claim, 1, 2.0), bid(claim, 2, 2.0)) == (3.5, 2.0)


def test_without_models_there_is_nothing_to_share() -> None:
    assert share([], EIGHT) == []
