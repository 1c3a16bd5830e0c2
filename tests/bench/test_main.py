"""`python -m bench` itself: what it says of nonsense, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.processes import PATIENCE_S, ROOT, module


@pytest.mark.parametrize(("arguments", "said"), [((), "usage: "), (("nonsense",), "there is no command 'nonsense'")])
def test_no_command_is_said_with_the_usage(arguments: tuple[str, ...], said: str) -> None:
    done = subprocess.run([*module("bench"), *arguments], cwd=ROOT, check=False, capture_output=True, text=True)

    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("command", ["gateway", "peers"])
def test_a_command_is_called_as_it_is_typed(command: str) -> None:
    done = subprocess.run([*module("bench"), command, "--nope"], cwd=ROOT, check=False, capture_output=True, text=True)

    assert done.returncode == 2
    assert f"python -m bench {command}: error: " in done.stderr


def simulating(parent: int) -> list[int]:
    """The processes of a simulation that have begun with a task: they have loaded numpy by then."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8").split()
    return [int(child) for child in children if "numpy" in Path(f"/proc/{child}/maps").read_text(encoding="utf-8")]


def test_ctrl_c_ends_a_simulation_with_all_its_processes() -> None:
    command = [*module("bench"), "simulate", "--load", "ramping", "--duration", "1e5", "--processes", "2"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=pipe, stderr=pipe, text=True)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while len(simulating(process.pid)) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)

        os.killpg(process.pid, signal.SIGINT)

        _, errors = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, errors) == (130, "")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
