"""Bytes that clients make this process hold: one sum for all connections, and who gives way when it is too large."""

from __future__ import annotations

from collections import Counter
from typing import Protocol


class Holder(Protocol):
    """Something that holds bytes for a client."""

    def give_way(self) -> bool:
        """Lets go of what it holds, and releases it. False if it can't: it does not wait for its client."""


class ByteBudget:
    """At most `limit_bytes` are held for clients that are slow to send or to read.

    Above that, the holders that began first give way first. A client that sends and reads as fast as its network lets
    it holds its bytes only briefly, so the first are those that stall. `cuts` counts why connections were cut.
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

    def make_room(self, size_bytes: int) -> bool:
        """Lets holders give way until `size_bytes` more can be held. False if that can't be reached."""
        while self.held_bytes + size_bytes > self.limit_bytes:
            for holder in self._holders:
                if holder.give_way():
                    self.cuts["memory"] += 1
                    break
            else:
                return False
        return True
