"""What models note at the end of a call, for the test to read."""

from __future__ import annotations

import os
from pathlib import Path


def note(what: str) -> None:
    """Appends a line to the file that `ENDING_FILE` names."""
    with Path(os.environ["ENDING_FILE"]).open("a") as file:
        file.write(f"{what}\n")


def noted(file: Path) -> list[str]:
    """The lines that were noted there."""
    return file.read_text().splitlines() if file.exists() else []
