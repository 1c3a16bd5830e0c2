"""The run command as a process."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import psutil

from tests.processes import PATIENCE_S, LoggedProcess, module
from tests.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path


class RunCommand(LoggedProcess):
    """`python -m deploy.local.up` on a free port, its data and its log under `folder`. Settings by name."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = int(settings["PORT"]) if settings.get("PORT", "").isdecimal() else free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        fast = {"MODEL_SETUP_S": "0", "MODEL_PREDICT_S": "0.05", "GRACE_S": "5"}
        environment = {key: value for key, value in os.environ.items() if key != "REDIS_URL"}
        environment |= {**fast, "DATA_DIR": str(folder / "data"), "PORT": str(self.port), **settings}
        log = folder / "up.log"
        log.unlink(missing_ok=True)  # of an earlier start in the same folder
        super().__init__(module("deploy.local.up"), environment, log)

    def processes(self) -> list[psutil.Process]:
        """Itself and all below it."""
        top = psutil.Process(self.pid)
        return [top, *top.children(recursive=True)]

    def parts(self, name: str) -> list[psutil.Process]:
        """Those that run `python -m NAME` at this moment."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.cmdline()[-2:] == ["-m", name]:
                    found.append(process)
        return found

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> int:
        """Sends the signal, checks that no process is left, and returns the exit code."""
        below = self.processes()[1:]
        self.send(number)
        code = self.reap(PATIENCE_S)
        assert gone(below) == [], self.text
        return code


def gone(processes: list[psutil.Process], patience_s: float = 10.0) -> list[psutil.Process]:
    """Waits until the processes have ended; returns those that have not."""
    _, alive = psutil.wait_procs(processes, timeout=patience_s)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
