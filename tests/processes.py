"""Programs that tests start: each dies with the test run, however that ends, and writes to a file of its own."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.processes import TetheredProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 60.0
_LOOK_S = 0.02


class ProcessError(Exception):
    """What a process did not do, with what it said."""


def module(name: str) -> list[str]:
    """The command that runs a module of this project."""
    return [sys.executable, "-m", name]


class LoggedProcess(TetheredProcess):
    """A process whose output is appended to the file `log`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as file:
            super().__init__(command, environment, stdout=file, stderr=file, cwd=ROOT)

    @property
    def name(self) -> str:
        """Its log's."""
        return self.log.stem

    @property
    def text(self) -> str:
        """What it has written."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    async def says(self, *texts: str) -> None:
        """Returns once one line has all of `texts`; without texts, once there is a line.

        Raises ProcessError if the process ends before, or takes too long.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not self._has_said(texts, deadline):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)

    def wait_for(self, *texts: str) -> None:
        """The same, for tests without an event loop."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._has_said(texts, deadline):
            time.sleep(_LOOK_S)

    def _has_said(self, texts: Sequence[str], deadline: float) -> bool:
        code = self.exit_code  # before the log is read: what it writes last counts
        if any(all(text in line for text in texts) for line in self.text.splitlines()):
            return True
        if code is not None:
            raise ProcessError(f"{self.name} ended with {code}, without {texts}:\n{self.text}")
        if time.monotonic() > deadline:
            raise ProcessError(f"{self.name} did not say {texts}:\n{self.text}")
        return False

    async def stopped(self) -> int:
        """Sends SIGTERM; its exit code. Raises ProcessError if it does not end."""
        self.terminate()
        return await self.code()

    async def code(self) -> int:
        """Its exit code, when it ends by itself. Raises ProcessError if it does not."""
        try:
            return await asyncio.wait_for(self.wait(), PATIENCE_S)
        except TimeoutError:
            raise ProcessError(f"{self.name} still runs:\n{self.text}") from None
