"""What is wrong with an input, fault by fault: where, as a JSON pointer, and a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.model_host.calls.failures import InputRefused
from workers.wire.pointers import pointer_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_SHOWN = 10


class Faults:
    """The faults of one input. Of many, the first ten are kept."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._more = 0

    def add(self, path: Sequence[str | int], sentence: str) -> None:
        if len(self._shown) < _MOST_SHOWN:
            self._shown.append(f"{pointer_of(path) or 'the input'}: {sentence}")
        else:
            self._more += 1

    def check(self) -> None:
        """Raises InputRefused if there are any."""
        if self._shown:
            rest = [f"and {self._more} more"] if self._more else []
            raise InputRefused("; ".join(self._shown + rest))
