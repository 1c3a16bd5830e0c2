"""A test run that is killed leaves no process behind."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.fleet.fleet import surviving
from tests.processes import LoggedProcess
from tests.servers import server_binaries

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fault

# As a test does it: a server of each kind that there is, a gateway, and a worker with its model.
RUN = """
import asyncio, pathlib, sys
from tests.fleet.fleet import ProcessFleet
from tests.servers import durable_server, server_binaries

async def main(folder):
    for kind in server_binaries():
        (folder / kind).mkdir()
        server = durable_server(kind, folder / kind)
        server.start()
    async with ProcessFleet(server, folder) as fleet:
        await fleet.start_gateway()
        await fleet.start_workers(1)
        print("all is up", flush=True)
        await asyncio.sleep(600)

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


def test_killed_run_leaves_nothing_behind(tmp_path: Path) -> None:
    with LoggedProcess([sys.executable, "-c", RUN, str(tmp_path)], os.environ, tmp_path / "run.log") as run:
        run.wait_for("all is up")
        below = psutil.Process(run.pid).children(recursive=True)
        commands = [" ".join(process.cmdline()) for process in below]

        run.send(signal.SIGKILL)

        assert surviving(below) == []
    for part in (*server_binaries().values(), "-m gateway", "-m workers", "model_host"):
        assert any(part in command for command in commands), f"no {part} in {commands}"
