"""The fleet of the fault tests: its model keeps a record of its runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.faults import fleet
from tests.faults.model import Run, read_runs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

PATIENCE_S = fleet.PATIENCE_S
surviving = fleet.surviving


class Fleet(fleet.Fleet):
    """All parts on `server`, in a queue of their own. Settings of the parts by name."""

    def __init__(self, server: Server, folder: Path, **settings: str) -> None:
        self._runs_file = folder / "runs"
        recorded = {"MODEL": "tests.faults.model:Recorded", "RUNS_FILE": str(self._runs_file)}
        super().__init__(server, folder, **{**recorded, **settings})

    @property
    def runs(self) -> list[Run]:
        """Every start of the model's `predict` so far."""
        return read_runs(self._runs_file)
