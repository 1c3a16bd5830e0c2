"""The largest number within a window of time, for pods that are held after they were needed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SlidingMaximum:
    """The largest number within a window of time.

    `steps` are pairs of a time in seconds and a number: rising times and falling numbers, so that the first number is
    the largest. A number is forgotten as soon as a later one is as large (the monotonic queue).
    """

    steps: tuple[tuple[float, int], ...] = ()

    @property
    def value(self) -> int:
        """The largest number; 0 before the first."""
        return self.steps[0][1] if self.steps else 0

    def observe(self, now_s: float, number: int, window_s: float) -> SlidingMaximum:
        """Returns it with one more number, and without those from `window_s` ago or longer."""
        left = [step for step in self.steps if step[0] > now_s - window_s and step[1] > number]
        return SlidingMaximum((*left, (now_s, number)))
