"""A place: a running service that parts can be killed of, whatever it consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from bench.load.observer import Source

Kind: TypeAlias = Literal["worker", "server", "gateway"]
KINDS: tuple[Kind, ...] = ("worker", "server", "gateway")


class PlaceError(Exception):
    """Why faults can't be made there, or can't go on, in one sentence."""


class Fault(NamedTuple):
    """What was killed, and from when to when it lasted: seconds since the run's begin.

    `attempts` is how many attempts it can have cost at most. A killed worker costs one for each job that it runs. A
    killed server may have delivered a job to each worker without the worker hearing of it, and may be away for longer
    than a lease has left.
    """

    kind: Kind
    what: str
    attempts: int = 0
    began_s: float = 0.0
    ended_s: float = 0.0


class Queue(NamedTuple):
    """The stream in numbers; None for what can't be seen from here."""

    length: int | None  # entries: waiting or pending
    lag: int
    pending: int
    deferred: int
    entered: int | None  # entries ever made: one for each push that was accepted

    @property
    def is_empty(self) -> bool:
        """Nothing is outstanding."""
        return not (self.length or self.lag or self.pending or self.deferred)

    def __str__(self) -> str:
        length = "" if self.length is None else f"length {self.length}, "
        return f"{length}lag {self.lag}, pending {self.pending}, deferred {self.deferred}"


class Place(Protocol):
    """Its methods raise PlaceError."""

    url: str
    sources: Sequence[Source]

    async def inflict(self, kind: Kind, rng: random.Random) -> Fault | None:
        """Kills a part; returns when what has to come back is back. None: there was nothing to kill."""

    async def queue(self) -> Queue | None:
        """The stream now; None if it can't be read."""

    async def complaints(self) -> list[str]:
        """What its parts have to say that no kill explains, once all is over."""
