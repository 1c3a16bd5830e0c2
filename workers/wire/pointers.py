"""JSON pointers (RFC 6901), for messages: they name a place in a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.wire.limits import MAX_POINTER_CHARS

if TYPE_CHECKING:
    from collections.abc import Sequence


def pointer_of(path: Sequence[str | int]) -> str:
    """The pointer to what is reached by these names and indexes; empty for the value itself. A long one is cut."""
    pointer = "".join(f"/{part}" if isinstance(part, int) else "/" + _escaped(part) for part in path)
    return pointer if len(pointer) <= MAX_POINTER_CHARS else pointer[: MAX_POINTER_CHARS - 3] + "..."


def _escaped(name: str) -> str:
    return name[:MAX_POINTER_CHARS].replace("~", "~0").replace("/", "~1")
