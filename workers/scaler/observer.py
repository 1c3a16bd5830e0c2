"""The workers as a scaler sees them, wherever they run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Unseen(Exception):  # noqa: N818
    """Something can't be seen now. The message says what and why, such as "the pods can't be read (...)"."""


@dataclass(frozen=True, slots=True)
class Replicas:
    """`total` are all that have not been told to stop; ages and start-up times are in seconds.

    `startups_s` are those that ended since this was last asked, each from the order to the first readiness.
    """

    total: int
    ready: int
    starting_ages_s: tuple[float, ...] = ()
    startups_s: tuple[float, ...] = ()


class Observer(Protocol):
    """Sees the workers."""

    async def look(self) -> Replicas:
        """Them now, a few seconds old at most. Raises Unseen."""
