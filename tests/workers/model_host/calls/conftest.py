"""What each test of a call has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the model notes what is called at its end."""
    file = tmp_path / "ending"
    monkeypatch.setenv("ENDING_FILE", str(file))
    return file
