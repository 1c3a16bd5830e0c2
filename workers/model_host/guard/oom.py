"""Whom the kernel kills if the machine runs out of memory; see proc_pid_oom_score_adj(5)."""

from __future__ import annotations

import contextlib

_FILE = "/proc/self/oom_score_adj"
_FIRST = "1000"


def score() -> str:
    """This process's adjustment; empty if there is none."""
    with contextlib.suppress(OSError), open(_FILE) as file:
        return file.read().strip()
    return ""


def set_score(adjustment: str) -> None:
    """Sets it. It can be raised, and lowered to what it was before; without effect otherwise."""
    with contextlib.suppress(OSError), open(_FILE, "w") as file:
        file.write(adjustment)


def prefer_to_be_killed() -> None:
    """The kernel should kill this process and not the worker."""
    set_score(_FIRST)
