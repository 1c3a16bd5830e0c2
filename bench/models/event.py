"""The model of `python -m bench events`: yields the time, so that a reader knows how long that was under way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    """Its input is how many times, and the seconds between two of them."""

    def predict(self, count: int, pause_s: float) -> Iterator[float]:
        """Seconds since the epoch."""
        due_s = time.monotonic()
        for _ in range(count):
            due_s += pause_s
            if (wait_s := due_s - time.monotonic()) > 0:
                time.sleep(wait_s)
            yield time.time()
