"""Another checkout of this project, to be measured beside this one."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.common.processes import ROOT, BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def other_checkout(root: Path) -> Iterator[Path]:
    """A folder in which the other checkout's `gateway` and `workers` run as ours do: beside the `bench` of this one.

    Raises BenchError if it is no checkout.
    """
    with tempfile.TemporaryDirectory(prefix="leadtime-bench-") as folder:
        for name, at in (("bench", ROOT), ("gateway", root), ("workers", root)):
            if not (at / name).is_dir():
                raise BenchError(f"{root} is no checkout of this project: it has no folder {name}")
            (Path(folder) / name).symlink_to((at / name).resolve())
        yield Path(folder)
