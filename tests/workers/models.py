"""Models for the tests: each misbehaves in its own way."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import socket
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, NoReturn


class Scripted:
    """Does what the input says: the name of one of its methods, then that method's arguments."""

    def predict(self, input: list[Any]) -> Any:  # noqa: A002
        name, *arguments = input
        return getattr(self, name)(*arguments)

    def echo(self, value: Any) -> Any:
        return value

    def pid(self) -> int:
        return os.getpid()

    def environment(self) -> dict[str, Any]:
        limits = Path("/proc/self/oom_score_adj")
        return {
            "cwd": str(Path.cwd()),
            "path": sys.path,
            "session": os.getsid(0),
            "pid": os.getpid(),
            "ignores_sigint": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
            "oom_score_adj": limits.read_text().strip() if limits.exists() else None,
        }

    def fail(self, message: str) -> NoReturn:
        raise LookupError(message)

    def fail_oddly(self) -> NoReturn:
        class Odd(Exception):  # noqa: N818
            def __str__(self) -> str:
                raise ValueError

        raise Odd

    def leave(self, code: int) -> NoReturn:
        sys.exit(code)

    def leave_at_once(self, code: int) -> NoReturn:
        os._exit(code)

    def segfault(self) -> None:
        ctypes.string_at(0)

    def spin(self, seconds: float) -> str:
        """Holds the GIL."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sum(range(1_000_000))
        return "span"

    def hang(self, file: str) -> None:
        """Tells its pid in `file`."""
        tell(file, os.getpid())
        time.sleep(600)

    def hang_with_child(self, file: str) -> None:
        """Tells the pid of a process it started in `file`."""
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        tell(file, child.pid)
        child.wait()

    def crash_beside_child(self, file: str) -> None:
        """Leaves a process that holds the connection open."""
        pid = os.fork()
        if pid == 0:
            time.sleep(600)
        tell(file, pid)
        os._exit(7)

    def eat(self) -> None:
        eaten = []
        while True:
            eaten.append(bytearray(10_000_000))

    def no_json(self) -> list[bytes]:
        return [b"\xff"]

    def long(self, size: int) -> str:
        return "x" * size

    def chat(self) -> str:
        print("\x00\x00\x00\x01R" * 1000)  # noqa: T201
        os.write(1, b"\x00\x00\x00\x01R")
        return "said"

    def garble(self) -> None:
        """Writes to the connection behind the protocol's back."""
        for fd in range(3, 64):
            try:
                other = socket.socket(fileno=fd)
            except OSError:
                continue
            other.sendall(b"garbage, as a frame far too long")
            other.detach()
        time.sleep(600)

    def close_all(self) -> None:
        os.closerange(3, 64)
        time.sleep(600)


def tell(file: str, pid: int) -> None:
    Path(file + ".new").write_text(str(pid))
    Path(file + ".new").rename(file)


class Unloadable:
    def __init__(self) -> None:
        raise ValueError("no weights here")

    def predict(self, input: Any) -> Any:  # noqa: A002
        raise NotImplementedError


class Exits(Unloadable):
    def __init__(self) -> None:
        os._exit(9)


class Hangs(Unloadable):
    def __init__(self) -> None:
        time.sleep(600)


class Greedy(Unloadable):
    def __init__(self) -> None:
        Scripted().eat()


SCALAR = 1


class NoPredict:
    pass


class Flaky(Scripted):
    """Loads at the second attempt; the file that `FLAKY_FILE` names tells of the first."""

    def __init__(self) -> None:
        file = Path(os.environ["FLAKY_FILE"])
        if not file.exists():
            file.touch()
            raise OSError("not yet")


class Waits(Scripted):
    """Loads once the file that `LOAD_FILE` names exists; makes one named `.began` beside it before."""

    def __init__(self) -> None:
        file = Path(os.environ["LOAD_FILE"])
        file.with_suffix(".began").touch()
        while not file.exists():
            time.sleep(0.02)


class Poisoned:
    """Dies of its input, until the file that `CURE_FILE` names exists."""

    def predict(self, input: Any) -> dict[str, Any]:  # noqa: A002
        if input == "poison" and not Path(os.environ["CURE_FILE"]).exists():
            os.kill(os.getpid(), signal.SIGSEGV)
        return {"output": f"ran on {input}", "input": input}


class Meets:
    """Answers once as many processes as the input says are at work at the same time."""

    def predict(self, input: int) -> dict[str, Any]:  # noqa: A002
        folder = Path(os.environ["MEETING_FOLDER"])
        (folder / str(os.getpid())).touch()
        while len(list(folder.iterdir())) < input:
            time.sleep(0.02)
        return {"output": sorted(path.name for path in folder.iterdir()), "input": input}


def nested_tuples(depth: int) -> Any:
    value: Any = ()
    for _ in range(depth - 1):
        value = (value,)
    return value


class Odd:
    """Returns a value that JSON can't say, or not as it is, by its name in `VALUES`; any other input as it is."""

    VALUES: ClassVar[dict[str, Any]] = {
        "nan": {"scores": [0.5, math.nan], "output": None},
        "nan list": [math.inf, 1],
        "decimal": {1: Decimal("1.50"), "set": {1}},
        "deep tuple": nested_tuples(255),
        "bytes": {"image": [b"x"]},
        "surrogate": "a\ud800",
    }

    def predict(self, input: Any) -> Any:  # noqa: A002
        return self.VALUES.get(input, input) if isinstance(input, str) else input
