"""The process a model lives in. `workers.model_host.process` starts it and talks to it over a socket.

A frame is its length (4 bytes, big-endian, without itself) and that many bytes. To this process: one job's
input as JSON. Back: a byte that tells the kind, then the body.

| kind | body | meaning |
| --- | --- | --- |
| `L` | - | the model is loaded (once, first) |
| `R` | JSON, as `EncodedResult.packed` | what `predict` returned |
| `E` | JSON, `[type, message]` | the constructor (the process then ends) or `predict` raised |
| `M` | - | out of memory; the process then ends |
| `N` | text | there is no such model: trying again won't help; the process then ends |
"""

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
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from workers.wire.decode import loads
from workers.wire.encode import encode_result
from workers.wire.limits import NotJson

if TYPE_CHECKING:
    from collections.abc import Iterator

LOADED = b"L"
RESULT = b"R"
ERROR = b"E"
OUT_OF_MEMORY = b"M"
NOT_FOUND = b"N"
MAX_MESSAGE_CHARS = 2000
MAX_FRAME_BYTES = 2**32 - 1


def frame(*parts: bytes) -> bytes:
    """The bytes of one frame that holds `parts`, joined. Raises OverflowError above `MAX_FRAME_BYTES`."""
    return b"".join((sum(map(len, parts)).to_bytes(4, "big"), *parts))


OUT_OF_MEMORY_FRAME = frame(OUT_OF_MEMORY)  # made while there is memory


class _NotFound(Exception):  # noqa: N818
    """The setting names no model. The message says why."""


def main() -> None:
    """Loads the model and runs one job after another until the other end closes or the process dies.

    The last argument is a JSON object: `fd` (of the socket), `parent` (pid), `model` (`module:Class`),
    `memory_limit_bytes` (of address space; 0 is none) and `max_result_bytes`.
    """
    options = orjson.loads(sys.argv.pop())
    connection = socket.socket(fileno=options["fd"])
    connection.set_inheritable(False)
    _follow(options["parent"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    if sys.stderr is not None:
        faulthandler.enable()
    try:
        _limit(options["memory_limit_bytes"])
        model = _load(options["model"])
        with _connected():
            connection.sendall(frame(LOADED))
        _serve(connection, model, options["max_result_bytes"])
    except MemoryError:
        connection.sendall(OUT_OF_MEMORY_FRAME)
        _die(1)
    except SystemExit as error:
        _die(error.code if isinstance(error.code, int) else int(error.code is not None))
    except _NotFound as error:
        # Without a traceback: the sentence names the cause.
        with contextlib.suppress(OSError):
            connection.sendall(frame(NOT_FOUND, str(error).encode(errors="replace")))
        os._exit(1)
    except Exception as error:  # noqa: BLE001
        with contextlib.suppress(OSError):
            connection.sendall(_error(error))
        _die(1)
    except BaseException:  # noqa: BLE001
        _die(1)
    os._exit(0)


def _load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        make = getattr(importlib.import_module(module), attribute)
    except (ImportError, SyntaxError, AttributeError) as error:
        raise _NotFound(f"{type(error).__name__}: {error}{_place(error)}") from None
    if not callable(make):
        raise _NotFound(f"{name} is no class")
    model = make()
    if not callable(getattr(model, "predict", None)):
        raise _NotFound(f"{name} has no method predict")
    return model


def _place(error: Exception) -> str:
    """The place in the model's own code where an import failed, in brackets; empty if it is not known."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [found for found in frames if not found.filename.startswith("<") and found.filename != __file__]
    outside = [found for found in own if os.path.dirname(found.filename) != os.path.dirname(importlib.__file__)]
    return f" ({outside[-1].filename}, line {outside[-1].lineno})" if outside else ""


def _serve(connection: socket.socket, model: Any, max_result_bytes: int) -> None:
    max_result_bytes = min(max_result_bytes, MAX_FRAME_BYTES - 1)
    reader = connection.makefile("rb")
    while data := _receive(reader):
        try:
            reply = _run(model, data, max_result_bytes)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001
            with _connected():
                connection.sendall(_error(error))
            traceback.print_exc()
        else:
            with _connected():
                connection.sendall(reply)
        del data


def _receive(reader: io.BufferedReader) -> bytes:
    """One frame's bytes; none at the connection's end."""
    with _connected():
        return reader.read(int.from_bytes(reader.read(4), "big"))


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    """Ends this process when the connection breaks: the worker has died, and SIGKILL would come a moment later."""
    try:
        yield
    except ConnectionError:
        os._exit(1)


def _run(model: Any, data: bytes, max_result_bytes: int) -> bytes:
    result = model.predict(loads(data))
    try:
        encoded = encode_result(result)
    except NotJson as error:
        message = f"predict returned a {type(result).__name__} that can't be written as JSON: {error}"
        return _failure("TypeError", message)
    if len(encoded.body) > max_result_bytes:
        message = f"the result is {len(encoded.body)} bytes of JSON, {max_result_bytes} are allowed"
        return _failure("ResultTooLarge", message)
    return frame(RESULT, encoded.packed())


def _error(error: Exception) -> bytes:
    try:
        message = str(error)
    except Exception:  # noqa: BLE001
        message = "(an error whose message can't be made)"
    return _failure(type(error).__name__, message)


def _failure(name: str, message: str) -> bytes:
    # Lone surrogates are no JSON.
    texts = (text[:MAX_MESSAGE_CHARS].encode(errors="replace").decode() for text in (name, message))
    return frame(ERROR, orjson.dumps(list(texts)))


def _die(code: int) -> NoReturn:
    # sys.exit would wait for the model's threads and exit handlers.
    with contextlib.suppress(Exception):
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code & 0xFF)


def _limit(memory_limit_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_limit_bytes:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = memory_limit_bytes if hard == resource.RLIM_INFINITY else min(memory_limit_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _follow(parent: int) -> None:
    """Ends this process when its parent dies, also by SIGKILL and in the midst of `predict`.

    Linux does so when the parent's thread that started it ends, so that must be the main thread (prctl(2)).
    """
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
        # If the machine runs out of memory, the kernel should kill this process and not the worker.
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    else:
        import threading
        import time

        def watch() -> None:
            while os.getppid() == parent:
                time.sleep(1)
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
    if os.getppid() != parent:  # the parent died before this process asked for the signal
        os._exit(1)
