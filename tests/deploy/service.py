"""The run command as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

import psutil

from tests.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 60.0


class Service:
    """`python -m deploy.local.up` on a free port, its data and its log under `folder`. Settings by name."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = int(settings["PORT"]) if settings.get("PORT", "").isdecimal() else free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.log = folder / "up.log"
        fast = {"MODEL_SETUP_S": "0", "MODEL_PREDICT_S": "0.05", "GRACE_S": "5"}
        environment = {key: value for key, value in os.environ.items() if key != "REDIS_URL"}
        environment |= {**fast, "DATA_DIR": str(folder / "data"), "PORT": str(self.port), **settings}
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "deploy.local.up"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def text(self) -> str:
        """What it has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, *texts: str) -> None:
        """Returns when it has printed a line with all of `texts`."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            ended = self.process.poll() is not None
            if any(all(text in line for text in texts) for line in self.text.splitlines()):
                return
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"no {texts} in:\n{self.text}")
            time.sleep(0.05)

    def processes(self) -> list[psutil.Process]:
        """Itself and all below it."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Sends the signal, checks that no process is left, and returns the exit code."""
        below = self.processes()[1:]
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        assert gone(below) == [], self.text
        return code

    def wait(self) -> int:
        """The exit code, when it has ended by itself."""
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """SIGKILL to it and to all below it that are left."""
        if self.process.poll() is None:
            for process in reversed(self.processes()):
                process.kill()
            self.process.wait()


def gone(processes: list[psutil.Process], patience_s: float = 10.0) -> list[psutil.Process]:
    """Waits until the processes have ended; returns those that have not."""
    _, alive = psutil.wait_procs(processes, timeout=patience_s)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
