"""A model that does what has most parts to it: takes a file or a long text, and yields texts and a file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from workers.file import File

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS = 5
_PAUSE_S = 0.01


class Everything:
    """Its results tell their inputs."""

    def predict(self, text: str, long: str = "", file: File | None = None) -> Iterator[Any]:
        """Some numbered texts, then what it was given beside the text."""
        for number in range(PARTS):
            yield f"{text} {number}"
            time.sleep(_PAUSE_S)
        yield File(file.path, "echo.bin") if file else long
