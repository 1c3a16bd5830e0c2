"""The toy model, keeping a record of its runs."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from workers.model import Model

if TYPE_CHECKING:
    from pathlib import Path


class ModelRun(NamedTuple):
    """One start of `predict`: its random id, and its input."""

    id: str
    input: str


class Recorded(Model):
    """Appends a line to the file `RUNS_FILE` at each start of `predict`; the output begins with that run's id."""

    def __init__(self) -> None:
        super().__init__()
        self._file = os.open(os.environ["RUNS_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def predict(self, input: Any) -> dict[str, Any]:  # noqa: A002
        """As the toy model."""
        run = uuid.uuid4().hex
        os.write(self._file, f"{run} {input}\n".encode())
        result = super().predict(input)
        return {**result, "output": f"{run} {result['output']}"}


def read_runs(file: Path) -> list[ModelRun]:
    """All runs that were started, by whichever process."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [ModelRun(*line.split(" ", 1)) for line in lines]
