"""Which processes are below another one, as /proc shows them (proc(5))."""

from __future__ import annotations

import contextlib
import os

_TRACKER = b"multiprocessing.resource_tracker"


def below(root: int) -> list[int]:
    """The processes below `root` on Linux, zombies included; none if /proc can't be read."""
    parents: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                    # The name before these two may have brackets and blanks in it.
                    parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found, rest = [], [root]
    while rest:
        next_ones = children.get(rest.pop(), [])
        found += next_ones
        rest += next_ones
    return found


def is_resource_tracker(pid: int) -> bool:
    """Whether it is a resource tracker of `multiprocessing`."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return _TRACKER in file.read()
    except OSError:
        return False
