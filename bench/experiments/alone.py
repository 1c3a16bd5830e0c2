"""One run of the experiments at a time: two would take the workers away from each other."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.experiments.kubectl import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def alone(context: str) -> Iterator[None]:
    """Raises ClusterError if another process of this user has begun with the same cluster, and has not ended yet.

    The lock goes with the process, however it ends.
    """
    name = hashlib.sha256(context.encode()).hexdigest()[:12]
    path = Path(tempfile.gettempdir()) / f"leadtime-experiments-{os.getuid()}-{name}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError(f"other experiments run on the cluster {context}: wait for them, or end them") from None
        yield
