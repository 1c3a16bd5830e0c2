"""The progress bar of `map`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def counted(total: int | None, is_shown: bool) -> Iterator[Callable[[], None]]:
    """What to call after each job. With `is_shown`, a bar on stderr counts them; its length may be unknown.

    Needs the extra `progress` (rich).
    """
    if not is_shown:
        yield lambda: None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        raise ImportError("a progress bar needs `pip install leadtime[progress]`") from None
    columns = (TextColumn("jobs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("jobs", total=total)
        yield lambda: bar.advance(task)
