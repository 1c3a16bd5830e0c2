"""What the first process of a container owes to the others: it passes signals on, and reaps those without a parent."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import NoReturn

from workers.process.secrets import hide_secrets

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def leave_pid_1() -> None:
    """Forks if this is process 1, and returns in the new process only. No effect in any other process.

    Process 1 then ends as the new one does; with it, the kernel ends all that is left in the container. Call it while
    there is one thread.
    """
    if os.getpid() != 1:
        return
    # Blocked until there are handlers: process 1 has no default ones.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    if program := os.fork():
        _be_init(program, before)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _be_init(program: int, mask: set[int]) -> NoReturn:
    hide_secrets()

    def pass_on(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(program, number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    pid = 0
    while pid != program:
        pid, status = os.waitpid(-1, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)
