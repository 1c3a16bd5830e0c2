"""What jobs tell while they run, on its way into their streams and out of them.

`lua/working/events.lua` says what is kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENTRY = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")


class Telling(NamedTuple):
    """Events of one attempt in their order, the first of which has the number `first`: each a kind and its JSON."""

    id: str
    attempt: int
    first: int
    events: Sequence[tuple[str, bytes]]

    @property
    def size_bytes(self) -> int:
        """Of the values."""
        return sum(len(value) for _, value in self.events)


class JobEvent(NamedTuple):
    """One event: `entry` is its place, `kind` is begin, progress, log, partial or end, and `value` is JSON."""

    entry: str
    kind: str
    value: bytes

    @property
    def number(self) -> int:
        """Counts the events of one run from 0, the `begin`. A gap: those in between were not kept."""
        return int(self.entry.partition("-")[2])

    @property
    def is_last(self) -> bool:
        """Whether the job has ended with it. (A failed job that is retried begins anew.)"""
        return self.kind == "end"

    @classmethod
    def from_reply(cls, flat: Sequence[bytes]) -> list[JobEvent]:
        """Reads the reply of `events`: three items an event."""
        triples = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        return [cls(entry.decode(), kind.decode(), value) for entry, kind, value in triples]


def is_entry(text: str) -> bool:
    """Whether it is the place of an event."""
    return _ENTRY.fullmatch(text) is not None
