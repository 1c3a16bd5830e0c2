"""Why a process that has loaded a model can't be forked."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time

_LOOKS = 10
_LOOK_S = 0.01
# What file descriptors of /proc/self/fd lead to, by the beginning.
_OPEN = {
    "anon_inode:[eventpoll]": "has made an event loop",
    "/dev/nvidia": "has opened a device of CUDA",
    "/dev/kfd": "has opened a device of ROCm",
}


def hindrance() -> str:
    """What a fork of this process would lack, as the end of a sentence; empty if it would work.

    Threads and CUDA's contexts do not survive a fork; an event loop would be shared with the fork, wake-ups included.
    """
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None and cuda.is_initialized():
        return "has initialized CUDA"
    if opened := _opened():
        return opened
    if (count := _threads()) > 1:
        names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
        return f"has {count} threads" + (f" ({', '.join(names)})" if names else "")
    return ""


def _opened() -> str:
    with contextlib.suppress(OSError):
        for fd in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                path = os.readlink(f"/proc/self/fd/{fd}")
                for start, meaning in _OPEN.items():
                    if path.startswith(start):
                        return meaning
    return ""


def _threads() -> int:
    """The threads that this process has after a fork: some libraries, such as OpenBLAS, end theirs for one."""
    with contextlib.suppress(OSError):
        if not (pid := os.fork()):
            os._exit(0)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # if the model ignores SIGCHLD
            os.kill(pid, signal.SIGKILL)  # with threads, it may hang before its first line
            os.waitpid(pid, 0)
    count = threading.active_count()
    with contextlib.suppress(OSError):
        for _ in range(_LOOKS):  # one that has been joined may be there for another moment
            count = len(os.listdir("/proc/self/task"))
            if count == 1:
                break
            time.sleep(_LOOK_S)
    return count
