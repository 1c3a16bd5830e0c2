"""What goes on in a template: once it has loaded the model, it forks for each request of its worker.

A request is a JSON object, the variables of the new process, and two sockets as file descriptors (SCM_RIGHTS, unix(7)):
the new process's connection to the worker, and its guardian's. The template forks the guardian, which forks the new
process. If one of the two forks fails, minus the error's number goes to the worker through the guardian's socket.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, NoReturn

import orjson

from workers.model_host.forks.hindrance import hindrance
from workers.model_host.guard import oom
from workers.model_host.guard.guardian import NUMBER, be_outlived, fork_model
from workers.model_host.guard.sigterm import Sigterm, Terminated
from workers.model_host.protocol.frames import LOADED, UNFORKABLE

if TYPE_CHECKING:
    import mmap

    from workers.model_host.protocol.connection import Connection

_MAX_REQUEST_BYTES = 65_536


class TemplateMain:
    """The template's main program after loading. `oom_score` is that of the guardians.

    `exit_code` is to be set before a fork exits.
    """

    def __init__(
        self, requests: socket.socket, connection: Connection, sigterm: Sigterm, last_words: mmap.mmap, oom_score: str
    ) -> None:
        requests.set_inheritable(False)
        self._requests = requests
        self._connection = connection
        self._sigterm = sigterm
        self._last_words = last_words
        self._oom_score = oom_score
        self._fork_pid: int | None = None
        self.exit_code = 0
        # Registered before the model's own functions, and so called after them.
        atexit.register(self._leave_fork)

    def run(self) -> None:
        """Forks for each request until it is told to end. Returns in the new processes only, whose jobs come next.

        Neither `close` nor what is registered with `atexit` is called here: each fork does that at its own end.
        """
        try:
            if why := hindrance():
                self._connection.send(UNFORKABLE, why.encode())
                _leave()
            gc.collect()
            gc.freeze()  # the collector would write to what it looks at, and so copy it
            be_outlived(self._last_words)
            self._connection.send(LOADED)
            self._fork_for_each()
        except Terminated:
            _leave()

    def _fork_for_each(self) -> None:
        before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the guardians
        while True:
            request, fds, _, _ = socket.recv_fds(self._requests, _MAX_REQUEST_BYTES, 2)
            if not request:
                _leave()
            ends = [socket.socket(fileno=fd) for fd in fds]
            if len(ends) == 2 and self._fork(ends[1]):
                break
            for end in ends:
                end.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)
        self._become_model(ends[0], ends[1], orjson.loads(request))

    def _fork(self, control: socket.socket) -> bool:
        """Whether this is the new process."""
        _flush()
        try:
            return os.fork() == 0
        except OSError as error:
            _refuse(control, error)
            return False

    def _become_model(self, connection: socket.socket, control: socket.socket, variables: dict[str, str]) -> None:
        """Becomes a guardian, which forks; returns in the model's process."""
        os.setsid()
        self._requests.close()
        oom.set_score(self._oom_score)
        try:
            last_words = fork_model(control, None)
        except OSError as error:
            _refuse(control, error)
            os._exit(1)
        oom.prefer_to_be_killed()
        os.environ.update(variables)
        self._fork_pid = os.getpid()
        self._connection.take(connection, last_words)
        self._sigterm.come_back()

    def _leave_fork(self) -> None:
        """Ends a fork here. Python would clear all modules, and the kernel copy each page that this writes to."""
        if self._fork_pid == os.getpid():
            _flush()
            os._exit(self.exit_code)


def _refuse(control: socket.socket, error: OSError) -> None:
    with contextlib.suppress(OSError):
        control.sendall(NUMBER.pack(-(error.errno or 1)))


def _flush() -> None:
    """What is buffered would be written by the fork, too."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _leave() -> NoReturn:
    _flush()
    os._exit(0)
