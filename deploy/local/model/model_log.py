"""What a model's process writes to stderr, and the place in the model's own code that its last traceback names."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_FRAME = re.compile(r'^  File "([^"<][^"]*)", line (\d+)', re.MULTILINE)
_PACKAGES = ("/site-packages/", f"{os.sep}lib{os.sep}python")
_HERE = str(Path(__file__).resolve().parents[3] / "workers" / "model_host")


class ModelLog:
    """What the model's process writes to stderr: kept to find the place of an error, and shown at the end."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def place(self, error: str) -> str:
        """File and line in brackets, of the last line of the model's own code; empty if the error names one."""
        frames = [frame for frame in _FRAME.findall(self.text()) if not frame[0].startswith(_HERE)]
        own = [frame for frame in frames if not any(part in frame[0] for part in _PACKAGES)] or frames
        return f" ({own[-1][0]}, line {own[-1][1]})" if own and ", line " not in error else ""

    def text(self) -> str:
        """All that was written."""
        self._file.seek(0)
        return str(self._file.read().decode(errors="replace"))


@contextlib.contextmanager
def stderr_kept() -> Iterator[ModelLog]:
    """Keeps what this process and its children write to stderr; it is written there when the block ends."""
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        log = ModelLog(file)
        try:
            yield log
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            sys.stderr.write(log.text())
