"""Models for the tests: each misbehaves in its own way."""

from __future__ import annotations

import asyncio
import atexit
import builtins
import contextlib
import ctypes
import hashlib
import math
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from decimal import Decimal
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any, ClassVar, NoReturn


class Scripted:
    """Does what the input says: the name of one of its methods, then that method's arguments."""

    def predict(self, input: Any) -> Any:  # noqa: A002
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

    def variables(self) -> dict[str, str]:
        return dict(os.environ)

    def environments(self) -> str:
        """All that it can read of the environments of its own process and those above it."""
        found, pid = "", os.getpid()
        while pid:
            with contextlib.suppress(OSError):
                found += Path(f"/proc/{pid}/environ").read_text(errors="replace")
            pid = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        return found

    def fail(self, message: str) -> NoReturn:
        raise LookupError(message)

    def fail_oddly(self) -> NoReturn:
        class Odd(Exception):  # noqa: N818
            def __str__(self) -> str:
                raise ValueError

        raise Odd

    def raise_it(self, name: str, *arguments: Any) -> NoReturn:
        """Raises an exception of that class: one of `ODD`, or Python's own."""
        raise (ODD.get(name) or getattr(builtins, name))(*arguments)

    def raise_it_long(self, size: int) -> NoReturn:
        raise ValueError("x" * size)

    def close_and_fail(self, first: int, last: int) -> NoReturn:
        """Closes file descriptors, then raises."""
        os.closerange(first, last + 1)
        raise LookupError("all is closed")

    def close_streams_and_fail(self) -> NoReturn:
        sys.stdout.close()
        sys.stderr.close()
        raise LookupError("nowhere to write to")

    def close_and_open_and_fail(self) -> NoReturn:
        """What it opens may get the number of its connection."""
        os.closerange(3, 64)
        self.pairs = [socket.socketpair() for _ in range(20)]
        raise LookupError("not to a stranger")

    def close_and_return(self, value: Any) -> Any:
        os.closerange(3, 64)
        return value

    def ask_again(self, defer_s: float | None, reason: str | None = None) -> NoReturn:
        from arq.worker import Retry

        raise Retry(defer_s) from (None if reason is None else LookupError(reason))

    def ask_again_without_defer(self) -> NoReturn:
        from arq.worker import RetryJob

        raise RetryJob

    def fork(self, how: str, value: Any) -> Any:
        """Forks; the fork ends `predict` in its own way, before this process does."""
        pid = os.fork()
        if pid == 0:
            return self._end_fork(how)
        os.waitpid(pid, 0)
        return value

    def fork_and_go_on(self, how: str, value: Any) -> Any:
        """Forks; the fork ends `predict` while this process has another job."""
        if os.fork() == 0:
            time.sleep(0.05)
            return self._end_fork(how)
        return value

    def fork_behind_python(self, how: str, value: Any) -> Any:
        """Forks as a library in C would."""
        pid = ctypes.CDLL(None).fork()
        if pid == 0:
            return self._end_fork(how)
        os.waitpid(pid, 0)
        return value

    def _end_fork(self, how: str) -> Any:
        if how == "raises":
            raise RuntimeError("of the fork")
        if how == "exits":
            sys.exit(0)
        if how == "runs out of memory":
            raise MemoryError
        if how == "forks again":
            os.fork()
        return "of the fork"

    def pool(self, values: list[int]) -> list[int]:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(abs, values)

    def alarm_later(self, delay_s: float, value: Any) -> Any:
        """A signal's handler raises once this job has been answered."""

        def handler(_number: int, _frame: Any) -> NoReturn:
            raise TimeoutError("too late")

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, delay_s)
        return value

    def leave(self, code: Any) -> NoReturn:
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


class Sticky(Scripted):
    """Fails every job once it was told to, or while the file that `BROKEN_FILE` names exists."""

    def __init__(self) -> None:
        self.broken = False

    def predict(self, input: Any) -> Any:  # noqa: A002
        if self.broken or Path(os.environ["BROKEN_FILE"]).exists():
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return super().predict(input)

    def break_down(self) -> NoReturn:
        self.broken = True
        raise RuntimeError("CUDA error")


class Closing(Scripted):
    """Appends a line to the file `ENDING_FILE` for each thing that is called at its end."""

    def __init__(self) -> None:
        atexit.register(self.note, "atexit")

    def note(self, what: str) -> None:
        with Path(os.environ["ENDING_FILE"]).open("a") as file:
            file.write(f"{what}\n")

    def close(self) -> None:
        self.note("close")

    def wait(self, file: str) -> None:
        try:
            self.hang(file)
        finally:
            self.note("finally")

    def wait_with_handler(self, file: str, raises: bool) -> None:
        """Has a handler of its own for SIGTERM."""

        def handler(_number: int, _frame: Any) -> None:
            self.note("handler")
            if raises:
                raise RuntimeError("told to end")

        signal.signal(signal.SIGTERM, handler)
        self.hang(file)

    def ignore_sigterm(self) -> None:
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)

    def hang_in_c(self, file: str) -> None:
        """Runs no Python code, so no handler of Python's either."""
        tell(file, os.getpid())
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)

    def hang_on(self, file: str) -> None:
        """Takes no for no answer."""
        tell(file, os.getpid())
        while True:
            try:
                time.sleep(600)
            except BaseException:  # noqa: BLE001
                self.note("caught")

    def hang_beside_thread(self, file: str) -> None:
        """A thread that the interpreter would wait for."""
        threading.Thread(target=time.sleep, args=(600,)).start()
        self.hang(file)

    def share_memory(self, file: str) -> None:
        """Tells the name of its shared memory in `file`.name, and can't remove it any more."""
        memory = shared_memory.SharedMemory(create=True, size=1000)
        Path(file + ".name").write_text(memory.name)
        self.hang_in_c(file)

    def start_daemon(self, file: str) -> str:
        """Leaves a process that has a session of its own and no parent; its pid is told in `file`."""
        program = (
            "import os, sys, time\n"
            "if os.fork(): os._exit(0)\n"
            "os.setsid()\n"
            "open(sys.argv[1] + '.new', 'w').write(str(os.getpid()))\n"
            "os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
            "time.sleep(600)"
        )
        subprocess.run([sys.executable, "-c", program, file], check=True)
        return "started"

    def hang_with_pool(self, file: str) -> None:
        """The pids of the pool's processes are in the file `file`.pool."""
        with multiprocessing.get_context("fork").Pool(4) as pool:
            pids = sorted({pool.apply(os.getpid) for _ in range(50)})
            Path(file + ".pool").write_text(" ".join(map(str, pids)))
            tell(file, os.getpid())
            pool.map(time.sleep, [600] * 4)


class HangsInClose(Closing):
    def close(self) -> None:
        super().close()
        time.sleep(600)


class Metaclass(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise ValueError


class Nameless(Exception, metaclass=Metaclass):  # noqa: N818
    pass


class Unspeakable(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise KeyboardInterrupt


class Surrogate(Exception):  # noqa: N818
    def __str__(self) -> str:
        return "\udcff"


class Halt(BaseException):
    pass


ODD: dict[str, type[BaseException]] = {
    "Nameless": Nameless,
    "Unspeakable": Unspeakable,
    "Surrogate": Surrogate,
    "Halt": Halt,
    "CancelledError": asyncio.CancelledError,
    "n" * 5000: type("n" * 5000, (Exception,), {}),
    "": type("", (Exception,), {}),
}


def tell(file: str, pid: int) -> None:
    Path(file + ".new").write_text(str(pid))
    Path(file + ".new").rename(file)


class Unloadable:
    def __init__(self) -> None:
        raise ValueError("no weights here")

    def predict(self, input: Any) -> Any:  # noqa: A002
        raise NotImplementedError


class ImportsLate(Unloadable):
    def __init__(self) -> None:
        import a_module_that_is_not_installed  # type: ignore[import-not-found]  # noqa: F401


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
