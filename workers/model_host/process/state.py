"""The states of a model's process, as the worker sees it.

| state | meaning |
| --- | --- |
| LOADING | it was started; its model is not loaded yet |
| IDLE | the model is loaded, and no job is in the process |
| BUSY | a job is in the process, or several are |
| ENDING | it was told to end, has exited or has closed its connection; its last words and its exit are awaited |
| DEAD | it is gone, and so are the processes that it started |
"""

from __future__ import annotations

import signal
from enum import IntEnum, auto


class ProcessState(IntEnum):
    """The life of a model's process; the module's table says what each state means."""

    LOADING = auto()
    IDLE = auto()
    BUSY = auto()
    ENDING = auto()
    DEAD = auto()


CHANGES = {
    ProcessState.LOADING: {ProcessState.IDLE, ProcessState.ENDING},
    ProcessState.IDLE: {ProcessState.BUSY, ProcessState.ENDING},
    ProcessState.BUSY: {ProcessState.IDLE, ProcessState.ENDING},
    ProcessState.ENDING: {ProcessState.DEAD},
    ProcessState.DEAD: set(),
}
"""Which states may follow on each."""


def how_it_ended(code: int) -> str:
    """In words, of an exit code or minus a signal."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"
