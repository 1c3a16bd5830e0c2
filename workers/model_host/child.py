"""The process a model lives in. `workers.model_host.process` starts it and talks to it in frames over a socket."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import io
import os
import resource
import signal
import socket
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from workers.model_host.connection import Connection
from workers.model_host.failures import again, described, is_retry
from workers.model_host.frames import AGAIN, ERROR, EXIT, LOADED, NOT_FOUND, RESULT
from workers.model_host.guardian import fork_model
from workers.telemetry.tracebacks import message_of
from workers.wire.decode import loads
from workers.wire.encode import encode_result
from workers.wire.limits import NotJson

if TYPE_CHECKING:
    from types import FrameType


class _NotFound(Exception):  # noqa: N818
    """The setting names no model. The message says why."""


class Terminated(SystemExit):
    """Raised in the model's main thread by SIGTERM, unless the model has a handler of its own."""


def main() -> None:
    """Loads the model and runs one job after another until the other end closes or the process is told to end.

    The last argument is a JSON object: `fd` (of the socket), `control` (of the guardian's socket), `parent` (pid),
    `model` (`module:Class`), `memory_limit_bytes` (of address space; 0 is none) and `max_result_bytes`.
    """
    options = orjson.loads(sys.argv.pop())
    last_words = fork_model(socket.socket(fileno=options["control"]), options["parent"])
    connection = Connection(socket.socket(fileno=options["fd"]), last_words)
    _prepare_forks(connection)
    _prepare_signals_and_streams(connection)
    _prefer_to_be_killed()
    loaded: list[Any] = []
    try:
        code = _work(connection, options, loaded)
        _end_on_sigterm_no_more()
    except Terminated:
        code = 128 + signal.SIGTERM
    # Waits for the model's threads and calls what it has registered with `atexit`: the worker sets a limit to that.
    connection.close()
    for model in loaded:
        _close(model, connection)
    sys.exit(code)


def _work(connection: Connection, options: dict[str, Any], loaded: list[Any]) -> int:
    """Loads the model into `loaded` and runs its jobs. Returns the exit code of the process."""
    try:
        _limit(options["memory_limit_bytes"])
        loaded.append(model := _load(options["model"]))
        connection.send(LOADED)
        _serve(connection, model, options["max_result_bytes"])
    except MemoryError as error:
        connection.report(error)
        connection.send_out_of_memory(message_of(error))
        _leave_at_once(1)
    except _NotFound as error:
        # Without a traceback: the sentence names the cause.
        connection.send(NOT_FOUND, str(error).encode(errors="replace"))
        _leave_at_once(1)
    except Terminated:
        raise
    except SystemExit as error:
        code, message = _exit_of(error)
        connection.report(error)
        if not connection.is_ours:
            _leave_at_once(code)
        _end_on_sigterm_no_more()
        connection.send(EXIT, orjson.dumps([code, message]))
        return code
    except BaseException as error:  # noqa: BLE001
        connection.report(error)
        _end_on_sigterm_no_more()
        connection.send(ERROR, described(error))
        return 1
    return 0


def _load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        make = getattr(importlib.import_module(module), attribute)
    except (ImportError, SyntaxError, AttributeError) as error:
        raise _NotFound(f"{type(error).__name__}: {error}{_place(error)}") from None
    if not callable(make):
        raise _NotFound(f"{name} is no class")
    try:
        model = make()
    except ImportError as error:  # it is not there at the next try either
        raise _NotFound(f"{type(error).__name__}: {error}{_place(error)}") from None
    if not callable(getattr(model, "predict", None)):
        raise _NotFound(f"{name} has no method predict")
    return model


def _place(error: Exception) -> str:
    """The place in the model's own code where an import failed, in brackets; empty if it is not known."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [found for found in frames if not found.filename.startswith("<") and found.filename != __file__]
    outside = [found for found in own if os.path.dirname(found.filename) != os.path.dirname(importlib.__file__)]
    return f" ({outside[-1].filename}, line {outside[-1].lineno})" if outside else ""


def _serve(connection: Connection, model: Any, max_result_bytes: int) -> None:
    while (data := connection.receive()) is not None:
        try:
            kind, body = _run(model, data, max_result_bytes)
        except (MemoryError, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001
            connection.report(error)
            kind, body = (AGAIN, again(error)) if is_retry(error) else (ERROR, described(error))
        if not connection.is_ours:  # `predict` has forked, and this is the fork: the answer is the other one's
            _leave_at_once(int(kind != RESULT))
        connection.send(kind, body)
        del data, body


def _run(model: Any, data: bytes, max_result_bytes: int) -> tuple[bytes, bytes]:
    result = model.predict(loads(data))
    try:
        encoded = encode_result(result)
    except NotJson as error:
        message = f"predict returned a {type(result).__name__} that can't be written as JSON: {error}"
        return ERROR, described(message, "TypeError")
    if len(encoded.body) > max_result_bytes:
        message = f"the result is {len(encoded.body)} bytes of JSON, {max_result_bytes} are allowed"
        return ERROR, described(message, "ResultTooLarge")
    return RESULT, encoded.packed()


def _exit_of(error: SystemExit) -> tuple[int, str]:
    """The exit code and the message of `sys.exit`, as the interpreter would make them."""
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF, ""
    return 1, message_of(error)


def _close(model: Any, connection: Connection) -> None:
    """Calls the model's `close`, if it has one."""
    try:
        if callable(close := getattr(model, "close", None)):
            close()
    except BaseException as error:  # noqa: BLE001
        connection.report(error)


def _leave_at_once(code: int) -> NoReturn:
    # sys.exit would wait for the model's threads and exit handlers.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code & 0xFF)


# the process's surroundings


def _prepare_signals_and_streams(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _terminate)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    if connection.log is not None:
        faulthandler.enable(connection.log)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    _end_on_sigterm_no_more()
    raise Terminated


def _end_on_sigterm_no_more() -> None:
    """What cleans up at the end must not be interrupted."""
    if signal.getsignal(signal.SIGTERM) is _terminate:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _prepare_forks(connection: Connection) -> None:
    """What a fork of this process must not inherit: the connection, and a signal handler that ends the job."""
    mask = threading.local()

    def before() -> None:
        # A fork that is sent SIGTERM before it has the usual handler would ignore it: Python drops pending signals.
        mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def after() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask.before)

    def in_child() -> None:
        connection.abandon()
        if signal.getsignal(signal.SIGTERM) is _terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        after()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=in_child)


def _limit(memory_limit_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_limit_bytes:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = memory_limit_bytes if hard == resource.RLIM_INFINITY else min(memory_limit_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _prefer_to_be_killed() -> None:
    """If the machine runs out of memory, the kernel should kill this process and not the worker."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
