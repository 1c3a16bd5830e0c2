"""What a scaler needs of the place it runs in: to see the workers, to change their number, and to know who leads.

In a cluster the workers are pods (`cluster/`); with `WORKERS=auto` they are processes (deploy/local/auto.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from workers.scaler.policy import Decision


class ObservationError(Exception):
    """Something can't be seen now. The message says what and why, such as "the pods can't be watched (...)"."""


class ActuationError(Exception):
    """A decision can't be carried out now. The message says what and why."""


@dataclass(frozen=True, slots=True)
class ReplicasSeen:
    """`total` counts all that have not been told to stop; ages and start-up times are in seconds.

    `startups_s` are those that ended since the last observation, each from the order to the first readiness.
    """

    total: int
    ready: int
    starting_ages_s: tuple[float, ...] = ()
    startups_s: tuple[float, ...] = ()
    leaving: int = 0  # that have been told to stop, and are still there
    unplaced: int = 0  # for which there is no place; they are not among those that start
    unplaced_why: str = ""
    startup_parts_s: Mapping[str, float] = field(default_factory=dict)  # how long each part of a start took lately

    @property
    def ordered(self) -> int:
        """How many there are to be by the last order that has been taken, those included that can't be seen yet."""
        return self.ready + len(self.starting_ages_s) + self.unplaced


class ReplicaObserver(Protocol):
    """Sees the workers."""

    async def observe(self) -> ReplicasSeen:
        """Returns them as they were a few seconds ago at most. Raises ObservationError."""


# Carries a decision out. Raises ActuationError.
Actuator: TypeAlias = Callable[[Decision], Awaitable[None]]


class Leadership(Protocol):
    """Which of several scalers decides."""

    @property
    def leads(self) -> bool:
        """Whether this scaler does, just now."""

    @property
    def holder(self) -> str:
        """Which one does, as far as it has been seen; empty if none does."""


class SoleLeader:
    """The leadership of a scaler that has no others beside it."""

    leads, holder = True, ""
