"""The folder in which a worker's jobs have their files for as long as they run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "leadtime-files-"
_LOCK = "lock"


class Scratch:
    """A folder of this process, below that of the machine for temporary files (TMPDIR).

    It is locked while the process lives: those of workers that were killed are removed by the next worker.
    """

    def __init__(self) -> None:
        _remove_dead(Path(tempfile.gettempdir()))
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._lock = (self.path / _LOCK).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if (self.path / _LOCK).exists():
                break
            self._lock.close()  # a worker that began meanwhile had it first, and removed it as a dead one's

    def new_folder(self) -> Path:
        """The path of a folder that does not exist."""
        return self.path / os.urandom(8).hex()

    def close(self) -> None:
        """Removes all of it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _remove_dead(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*"):
        # Another user's, or one that is being made or removed just now.
        with contextlib.suppress(OSError), (path / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
