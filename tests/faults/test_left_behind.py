"""A test run that is killed leaves no process behind."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.faults.fleet import surviving
from tests.processes import LoggedProcess, module

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fault

# A server of each kind that there is, a gateway, and a worker with its model: all that tests start.
TEST = """
import asyncio, pathlib
from tests.conftest import start_server, valkey
from tests.faults.fleet import ProcessFleet

async def test_forever(start_server, valkey, tmp_path):
    start_server()
    async with ProcessFleet(valkey, tmp_path) as fleet:
        await fleet.start_gateway()
        await fleet.start_workers(1)
        pathlib.Path(__file__).with_name("all is up").touch()
        await asyncio.sleep(600)
"""


async def test_killed_run_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "test_forever.py").write_text(TEST, encoding="utf-8")
    options = ["-n", "1", "-o", "faulthandler_timeout=0", "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    command = [*module("pytest"), *options, "--rootdir", str(tmp_path), str(tmp_path / "test_forever.py")]
    with LoggedProcess(command, os.environ, tmp_path / "pytest.log") as pytest_run:
        while not (tmp_path / "all is up").exists():
            assert pytest_run.running, pytest_run.text
            await asyncio.sleep(0.05)
        below = psutil.Process(pytest_run.pid).children(recursive=True)
        commands = [" ".join(process.cmdline()) for process in below]

        pytest_run.send(signal.SIGKILL)

        assert surviving(below) == []
    for part in ("valkey-server", "-m gateway", "-m workers", "model_host"):
        assert any(part in command for command in commands), commands
