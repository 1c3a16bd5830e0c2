"""The process a model lives in. `workers.model_host.process` starts it and talks to it in frames over a socket."""

from __future__ import annotations

import faulthandler
import io
import os
import resource
import signal
import socket
import sys
import threading
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import orjson

from workers.job import Cancelled
from workers.model_host.calls.event_loop import EventLoop
from workers.model_host.calls.failures import NotLoadable, Refusal, answer_of, described
from workers.model_host.calls.loading import load
from workers.model_host.calls.model_calls import ModelCalls
from workers.model_host.child.leaving import exit_of, leave_at_once
from workers.model_host.child.printed import print_as_log
from workers.model_host.forks.forking import TemplateMain
from workers.model_host.guard import oom
from workers.model_host.guard.guardian import fork_model
from workers.model_host.guard.sigterm import Sigterm, Terminated
from workers.model_host.protocol.connection import Connection
from workers.model_host.protocol.frames import ERROR, EXIT, LOADED, NOT_FOUND, OUTCOMES, RESULT
from workers.telemetry.tracebacks import message_of

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Loads the model and runs one job after another until the other end closes or the process is told to end.

    The last argument is a JSON object: `fd` (of the socket), `control` (of the guardian's socket), `parent` (pid),
    `model` (as in the setting), `memory_limit_bytes` (of address space; 0 is none), `max_result_bytes`,
    `max_concurrency` (as in the setting), `log` (the form of what is printed, and the queue), and `requests` (of the
    socket that asks for forks; null if this is no template).
    """
    options = orjson.loads(sys.argv.pop())
    last_words = fork_model(socket.socket(fileno=options["control"]), options["parent"])
    connection = Connection(socket.socket(fileno=options["fd"]), last_words)
    sigterm = Sigterm()
    loop = EventLoop(sigterm)
    _prepare_forks(connection, sigterm)
    _prepare_signals_and_streams(connection, sigterm)
    if options["log"][0]:
        print_as_log(connection, *options["log"])
    template = None
    if options["requests"] is not None:
        requests = socket.socket(fileno=options["requests"])
        template = TemplateMain(requests, connection, sigterm, last_words, oom.score())
    oom.prefer_to_be_killed()
    loaded: list[Any] = []
    try:
        code = _work(connection, options, sigterm, loop, loaded, template)
        sigterm.ignore()
    except Terminated:
        code = 128 + signal.SIGTERM
    # Waits for the model's threads and calls what it has registered with `atexit`: the worker sets a limit to that.
    connection.close()
    for model in loaded:
        _close(model, loop, connection)
    if template is not None:
        template.exit_code = code
    sys.exit(code)


def _work(
    connection: Connection,
    options: dict[str, Any],
    sigterm: Sigterm,
    loop: EventLoop,
    loaded: list[Any],
    template: TemplateMain | None,
) -> int:
    """Loads the model into `loaded` and runs its jobs. Returns the exit code of the process."""
    try:
        _limit(options["memory_limit_bytes"])
        loaded.append(model := load(options["model"], loop if template is None else None))
        calls = ModelCalls(model, loop, options["max_result_bytes"], options["max_concurrency"], connection)
        told = calls.told()  # once, also for the forks of a template
        serve = _serving(connection, calls, loop, sigterm)
        if template is not None:
            template.run()  # returns in its forks
        connection.send(LOADED, told)
        return serve()
    except MemoryError as error:
        connection.report(error)
        connection.send_out_of_memory(message_of(error))
        leave_at_once(1)
    except NotLoadable as error:
        # Without a traceback: the sentence names the cause.
        connection.send(NOT_FOUND, str(error).encode(errors="replace"))
        leave_at_once(1)
    except Terminated:
        raise
    except SystemExit as error:
        code, message = exit_of(error)
        connection.report(error)
        if not connection.is_ours:
            leave_at_once(code)
        sigterm.ignore()
        connection.send(EXIT, orjson.dumps([code, message]))
        return code
    except BaseException as error:  # noqa: BLE001
        connection.report(error)
        sigterm.ignore()
        connection.send(ERROR, described(error))
        return 1


def _serving(connection: Connection, calls: ModelCalls, loop: EventLoop, sigterm: Sigterm) -> Callable[[], int]:
    """What runs the jobs until the connection's end, and returns the exit code of the process."""
    if calls.max_concurrency == 1:
        return lambda: _serve(connection, calls)
    # A model without async code must not pay for the import.
    from workers.model_host.child.shared_loop import SharedLoop

    return SharedLoop(connection, calls, loop, sigterm).serve


def _serve(connection: Connection, calls: ModelCalls) -> int:
    while (frame := connection.receive()) is not None:
        try:
            kind, body = calls.run(frame)
        except (MemoryError, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001
            if not isinstance(error, Refusal | Cancelled):
                connection.report(error)
            kind, body = answer_of(error)
        if not connection.is_ours:  # `predict` has forked, and this is the fork: the answer is the other one's
            leave_at_once(int(kind not in (RESULT, OUTCOMES)))
        connection.send(kind, body)
        del frame, body
    return 0


def _close(model: Any, loop: EventLoop, connection: Connection) -> None:
    """Calls the model's `close`, if it has one, then ends what the model has left on its event loop."""
    try:
        if callable(close := getattr(model, "close", None)) and type(closing := close()) is CoroutineType:
            loop.run(closing)
    except BaseException as error:  # noqa: BLE001
        connection.report(error)
    try:
        loop.close()
    except BaseException as error:  # noqa: BLE001
        connection.report(error)


# the process's surroundings


def _prepare_signals_and_streams(connection: Connection, sigterm: Sigterm) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sigterm.listen()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    if connection.log is not None:
        faulthandler.enable(connection.log)


def _prepare_forks(connection: Connection, sigterm: Sigterm) -> None:
    """What a fork of this process must not inherit: the connection, and a signal handler that ends the job."""
    mask = threading.local()

    def before() -> None:
        # A fork that is sent SIGTERM before it has the usual handler would ignore it: Python drops pending signals.
        mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def after() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask.before)

    def in_child() -> None:
        connection.abandon()
        sigterm.leave()
        after()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=in_child)


def _limit(memory_limit_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_limit_bytes:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = memory_limit_bytes if hard == resource.RLIM_INFINITY else min(memory_limit_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
