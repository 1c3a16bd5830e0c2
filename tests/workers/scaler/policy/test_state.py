"""What the policy remembers: the largest number within a window of time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.policy.state import Steps, largest


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(1, 100))
def test_a_sliding_maximum_is_the_largest_number_of_the_window(numbers: list[int], window_s: int) -> None:
    steps: Steps = ()
    for second, n in enumerate(numbers):
        steps = largest(steps, float(second), n, float(window_s))
        assert steps[0][1] == max(numbers[max(0, second - window_s + 1) : second + 1])
