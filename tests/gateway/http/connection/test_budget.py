"""Who gives way when more is held than may be."""

from __future__ import annotations

import pytest

from gateway.http.connection.budget import ByteBudget


class FakeHolder:
    """Holds what it is told to, and gives way if it can."""

    def __init__(self, budget: ByteBudget, *, moves: bool = False, can_leave: bool = True) -> None:
        self._budget = budget
        self._moves = moves
        self._can_leave = can_leave
        self.left = False

    def is_moving(self) -> bool:
        """See `Holder`."""
        return self._moves

    def give_way(self) -> bool:
        """See `Holder`."""
        if self._can_leave:
            self.left = True
            self._budget.release(self)
        return self._can_leave


@pytest.fixture
def budget() -> ByteBudget:
    return ByteBudget(100)


def test_those_that_stand_still_give_way_first_and_of_them_the_oldest(budget: ByteBudget) -> None:
    moving, first, second = (FakeHolder(budget, moves=moves) for moves in (True, False, False))
    for holder in (moving, first, second):
        budget.hold(holder, 30)

    assert budget.make_room(40)
    assert [holder.left for holder in (moving, first, second)] == [False, True, False]
    assert budget.make_room(100)
    assert moving.left
    assert budget.cuts["memory"] == 3


def test_one_that_moves_is_spared_on_demand(budget: ByteBudget) -> None:
    moving, still = FakeHolder(budget, moves=True), FakeHolder(budget)
    budget.hold(moving, 50)
    budget.hold(still, 50)

    assert not budget.make_room(60, only_still=True)
    assert (moving.left, still.left) == (False, True)


def test_one_that_cannot_give_way_stays(budget: ByteBudget) -> None:
    fixed, other = FakeHolder(budget, can_leave=False), FakeHolder(budget, moves=True)
    budget.hold(other, 10)
    budget.hold(fixed, 200)

    assert other.left
    assert not budget.make_room(0)
    assert budget.held_bytes == 200
