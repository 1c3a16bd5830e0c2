"""The matrix: a cell is one load against one configuration. A cell's file is named after all that it depends on."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bench.common.runs import Run, RunError, read, write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

    from bench.common.arrivals import Process

PARAMETER = "experiment"


@dataclass(frozen=True, slots=True)
class Setup:
    """What all cells of a matrix have in common. Times are in seconds, as at a time scale of 1.

    A run divides them, and its arrivals' times, by `time_scale`. The control loops' times are the configurations' own.
    """

    duration_s: float = 1800.0
    process: Process = "deterministic"
    seed: int = 1
    poll_s: float | None = None
    startup_s: float = 30.0
    service_s: float = 5.0
    time_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One run. `digest` is of the configuration's manifests."""

    load: str
    configuration: str
    digest: str
    setup: Setup

    @property
    def name(self) -> str:
        """In tables, plots and patterns."""
        return f"{self.load}/{self.configuration}"

    @property
    def title(self) -> str:
        """The run's name."""
        return f"{self.load}, {self.configuration}"

    @property
    def file_name(self) -> str:
        """Another name if any parameter differs."""
        key = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:10]
        return f"{re.sub(r'[^A-Za-z0-9.]+', '-', self.title).strip('-.')[:80]}-{key}.json.gz"


def cells(loads: Iterable[str], configurations: Sequence[tuple[str, str]], setup: Setup) -> list[MatrixCell]:
    """All of a matrix; `configurations` are names and digests."""
    return [MatrixCell(load, name, digest, setup) for load in dict.fromkeys(loads) for name, digest in configurations]


def only(found: Sequence[MatrixCell], patterns: Sequence[str]) -> list[MatrixCell]:
    """Those whose name fits one of the patterns (`ramping/*`, `*/streams`); all without patterns."""
    return [cell for cell in found if any(fnmatch.fnmatchcase(cell.name, pattern) for pattern in patterns or ["*"])]


class Results:
    """The files of the cells that are done, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, cell: MatrixCell) -> Path:
        """Where a cell's run is, or will be."""
        return self.folder / cell.file_name

    def run(self, cell: MatrixCell) -> Run | None:
        """The cell's run, if it is done."""
        try:
            found = read(self.path(cell))
        except (RunError, OSError):
            return None
        return found if found.parameters.get(PARAMETER) == asdict(cell) else None

    def keep(self, cell: MatrixCell, run: Run) -> None:
        """The cell is done."""
        run.parameters[PARAMETER] = asdict(cell)
        self.folder.mkdir(parents=True, exist_ok=True)
        write(run, self.path(cell))


async def run_all(
    found: Sequence[MatrixCell],
    results: Results,
    run_one: Callable[[MatrixCell], Awaitable[Run]],
    say: Callable[[str], None],
    errors: tuple[type[Exception], ...],
    again: bool = False,
) -> list[MatrixCell]:
    """Runs what is not done, and keeps each as soon as it is. Returns the cells that failed with one of the errors."""
    failed = []
    for number, cell in enumerate(found, start=1):
        where = f"[{number}/{len(found)}] {cell.title}"
        if not again and results.run(cell) is not None:
            say(f"{where}: is done")
            continue
        say(f"{where}: begins")
        try:
            results.keep(cell, await run_one(cell))
            say(f"{where}: done, kept in {results.path(cell).name}")
        except errors as error:
            say(f"{where}: failed: {error}")
            failed.append(cell)
    return failed
