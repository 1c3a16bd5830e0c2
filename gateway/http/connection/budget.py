"""Bytes that clients make this process hold: one sum for all connections, and who gives way when it is too large."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

# So many of those that began first are looked at for one that stands still.
_LOOKED_AT = 16


class Holder(Protocol):
    """Something that holds bytes for a client."""

    def is_moving(self) -> bool:
        """Whether its client has sent or read something of late."""

    def give_way(self) -> bool:
        """Lets go of what it holds, and releases it. False if it can't: it does not wait for its client."""


class ByteBudget:
    """At most `limit_bytes` are held for clients that are slow to send or to read.

    Above that, holders give way: those that stand still before those that move, and of these the ones that began first.
    A client that sends and reads as fast as its network lets it holds its bytes only briefly. `cuts` counts why
    connections were cut.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self.cuts: Counter[str] = Counter()
        self._holders: dict[Holder, int] = {}  # the longest holding comes first

    def hold(self, holder: Holder, size_bytes: int) -> None:
        """Says how much a holder holds now. Holders give way if that is too much in sum, perhaps this one too."""
        self.held_bytes += size_bytes - self._holders.get(holder, 0)
        self._holders[holder] = size_bytes
        if self.held_bytes > self.limit_bytes:
            self.make_room(0)

    def release(self, holder: Holder) -> None:
        """The holder holds nothing any more."""
        self.held_bytes -= self._holders.pop(holder, 0)

    def make_room(self, size_bytes: int, only_still: bool = False) -> bool:
        """Lets holders give way until `size_bytes` more can be held. False if that can't be reached."""
        while self.held_bytes + size_bytes > self.limit_bytes:
            oldest = list(islice(self._holders, _LOOKED_AT))
            if not self._cut_one(holder for holder in oldest if not holder.is_moving()) and (
                only_still or not self._cut_one(list(self._holders))
            ):
                return False
        return True

    def _cut_one(self, holders: Iterable[Holder]) -> bool:
        is_cut = any(holder.give_way() for holder in holders)
        self.cuts["memory"] += is_cut
        return is_cut
