"""The guardian of a model's process: its parent, a small process that takes along all that the model has started.

The worker starts one process, which forks before it loads anything. The new one loads the model. The first one stays
behind as its guardian:

- When the model ends, for whatever reason, the guardian kills what is left below it and ends in the same way.
- When the worker asks for an end, the model gets SIGTERM, and SIGKILL after a grace.
- When the worker dies, also by SIGKILL, all is killed at once.

On Linux the guardian is a subreaper (prctl(2)): processes that the model has started stay below it, also if they have
a session of their own or their parent has ended, and it reaps them. Elsewhere it knows the model's process group only.

A process that is forked from a template has a guardian of its own, which is forked from it as well. It hears of the
worker's death by its socket alone, and tells its exit code through that, as the worker is not its parent. When the
template dies, its guardian stays for the others, until the worker says that none of them is left.

Resource trackers of `multiprocessing` are spared for a moment: they end by themselves once nobody needs them, and
remove the shared memory that the others left in /dev/shm.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
import traceback
from typing import NoReturn

from workers.model_host.guard.tree import below, is_resource_tracker
from workers.model_host.protocol.frames import HEAD, LAST_WORDS_BYTES

# What the worker sends: the seconds until SIGKILL; 0 is at once.
END_IN_S = struct.Struct(">d")
# What the guardian of a forked process sends first, its process id; and last, the exit code or minus the signal. Of a
# template it sends the latter.
NUMBER = struct.Struct(">i")

_TRACKER_S = 3.0  # how long resource trackers may take
_KILL_S = 10.0  # how long killed processes are waited for: a driver may hold them
_LOOK_S = 0.01  # between two looks at what is left
_PARENT_LOOK_S = 1.0  # where no signal tells that the parent has died

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def fork_model(control: socket.socket, worker: int | None) -> mmap.mmap:
    """Forks. Returns in the new process only, which is the model's; this one becomes its guardian.

    `worker` is the process id of this one's parent, None if that is a template. The result is memory of both: a frame
    that is in it when the model has ended is sent to the worker through `control`. Raises OSError, in this process.
    """
    last_words = mmap.mmap(-1, LAST_WORDS_BYTES + 1)
    _set_process(_PR_SET_CHILD_SUBREAPER, 1)
    guardian = os.getpid()
    model = os.fork()
    if model:
        try:
            _Guardian(control, worker, model, last_words).run()
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
        finally:
            os._exit(1)
    control.close()
    os.setsid()
    follow(guardian, signal.SIGKILL)
    return last_words


def be_outlived(last_words: mmap.mmap) -> None:
    """Has the guardian of this process, a template, stay when it dies, until the worker lets it end."""
    last_words[LAST_WORDS_BYTES] = 1


def follow(parent: int, number: signal.Signals) -> None:
    """Asks for a signal when the parent dies in whatever way. Ends this process if it is dead already.

    Linux sends it when the thread ends that started this process, so that must be the main thread (prctl(2)).
    """
    _set_process(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        os._exit(1)


def _set_process(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class _Guardian:
    """The process that stays behind."""

    def __init__(self, control: socket.socket, worker: int | None, model: int, last_words: mmap.mmap) -> None:
        self._control = control
        self._worker = worker
        self._model = model
        self._last_words = last_words
        self._status: int | None = None  # of the model, once it has ended
        self._kill_at_s = float("inf")
        self._has_told_code = False
        self._woken, wake = os.pipe()
        for end in (self._woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGUSR1):
            signal.signal(number, lambda _number, _frame: None)
        # A terminal or a supervisor sends these to every process: the worker decides when the model ends.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        # The model's connection is no business of this process, and has to close when the model ends.
        kept = sorted({2, control.fileno(), self._woken, wake})
        for one, next_one in zip(kept, [*kept[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
            os.closerange(one + 1, next_one)
        if worker is None:
            with contextlib.suppress(OSError):  # the worker has died: `run` will see that
                control.sendall(NUMBER.pack(os.getpid()))
        else:
            follow(worker, signal.SIGUSR1)

    def run(self) -> NoReturn:
        """Guards until all is gone."""
        while self._reap() is None or self._is_needed():
            if self._worker not in (None, os.getppid()):
                self._kill_at_s = 0.0
            left_s = self._kill_at_s - time.monotonic()
            if left_s <= 0:
                break
            self._wait(left_s)
        self._kill_all()
        if self._last_words[0:4] != bytes(4):
            size = HEAD.size + HEAD.unpack_from(self._last_words)[0]
            with contextlib.suppress(OSError):
                self._control.sendall(self._last_words[:size])
        self._end_likewise()

    def _is_needed(self) -> bool:
        """Whether the model was a template, whose forks may go on; the worker is told once that it has ended."""
        if not self._last_words[LAST_WORDS_BYTES]:
            return False
        if not self._has_told_code:
            self._tell_code()
        return self._kill_at_s == float("inf")

    def _tell_code(self) -> None:
        self._has_told_code = True
        with contextlib.suppress(OSError):
            self._control.sendall(NUMBER.pack(self._code()))

    def _code(self) -> int:
        return os.waitstatus_to_exitcode(self._status) if self._status is not None else -signal.SIGKILL

    def _wait(self, most_s: float) -> None:
        """Returns when a process has ended, the worker has said something, or it is time to look again."""
        fds = [self._woken]
        if self._kill_at_s:
            fds.append(self._control.fileno())
        poll = select.poll()
        for fd in fds:
            poll.register(fd, select.POLLIN)
        most_s = min(most_s, 3600 if sys.platform == "linux" else _PARENT_LOOK_S)
        for fd, _ in poll.poll(most_s * 1000):
            if fd == self._woken:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 4096)
            else:
                self._listen()

    def _listen(self) -> None:
        told = self._control.recv(END_IN_S.size, socket.MSG_WAITALL)
        if len(told) < END_IN_S.size:  # the worker has died
            self._kill_at_s = 0.0
            return
        (grace_s,) = END_IN_S.unpack(told)
        self._kill_at_s = min(self._kill_at_s, time.monotonic() + grace_s if grace_s else 0.0)
        if grace_s and self._status is None:
            os.kill(self._model, signal.SIGTERM)  # it has not been reaped, so the number is still its own

    def _reap(self) -> int | None:
        """Takes the exits of all that have ended below this process. Returns the model's status if it is among them."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self._model:
                    self._status = status
        return self._status

    def _kill_all(self) -> None:
        """Kills the model and whatever it started; returns when that is gone, or can't be killed."""
        began_s = time.monotonic()
        self._kill_at_s = 0.0
        # Not if it has been reaped: the number may be another's by now. Its group then has whom it left behind.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._status is None:
                os.kill(self._model, signal.SIGKILL)
            if sys.platform != "linux":
                os.killpg(self._model, signal.SIGKILL)
        while (took_s := time.monotonic() - began_s) < _KILL_S:
            left = below(os.getpid())
            if self._reap() is not None and not left:
                return
            for pid in left:
                if took_s > _TRACKER_S or not is_resource_tracker(pid):
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
            self._wait(_LOOK_S)

    def _end_likewise(self) -> NoReturn:
        """Ends with the model's exit code or by its signal, for the worker to see."""
        if self._worker is None:
            self._tell_code()
        code = self._code()
        if code < 0:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if -code not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        os._exit(code & 0xFF)
