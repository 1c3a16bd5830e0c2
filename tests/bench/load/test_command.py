"""`python -m bench load` as it is used: its file, its words, its signals, its exit codes."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.common.runs import read
from bench.load.command import main
from tests.bench.services import service

if TYPE_CHECKING:
    from tests.servers import Server

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 90.0
NOWHERE = "http://127.0.0.1:1"


def command(*arguments: str | Path) -> list[str]:
    """The program's command line; it is killed with the test run, however that ends."""
    tether = [sys.executable, str(ROOT / "deploy/local/tether.py"), str(os.getpid()), str(signal.SIGKILL.value)]
    return [*tether, sys.executable, "-m", "bench", "load", *map(str, arguments)]


def done(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One that has ended."""
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


async def test_run_and_its_file(valkey: Server, tmp_path: Path) -> None:
    file = tmp_path / "run.json.gz"
    async with service(valkey, tmp_path) as fleet:
        ended = done("constant:20", "--url", fleet.base, "--duration", "1", "--seed", "7", "--output", file)
    assert ended.returncode == 0, ended.stderr
    run = read(file)
    assert set(run.jobs.outcome) == {"finished"}
    assert run.parameters["seed"] == 7
    assert run.parameters["process"] == "poisson"
    assert "What became of the jobs" in ended.stdout
    assert re.search(r"requests? left", ended.stdout)
    assert str(file) in ended.stdout
    assert f"sent {len(run.jobs.id)} of {len(run.jobs.id)}" in ended.stderr
    assert "queue 0 waiting" in ended.stderr
    assert "\x1b" not in ended.stderr


@pytest.mark.slow
async def test_live_view_on_a_terminal(valkey: Server, tmp_path: Path) -> None:
    terminal, stderr = pty.openpty()
    async with service(valkey, tmp_path) as fleet:
        process = subprocess.Popen(
            command("constant:10", "--url", fleet.base, "--duration", "1", "--output", tmp_path / "run.json.gz"),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
        )
        os.close(stderr)
        shown = b""
        while True:
            try:
                shown += os.read(terminal, 65_536)
            except OSError:  # the other end is closed
                break
        assert process.wait(PATIENCE_S) == 0
    os.close(terminal)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    for word in ("sending", "in flight", "finished", "queue", "workers", "over"):
        assert word in text


def wait_until_sent(process: subprocess.Popen[str]) -> None:
    """Returns when a line tells of jobs that were sent."""
    assert process.stderr is not None
    deadline = time.monotonic() + PATIENCE_S
    while not re.search(r"sent [1-9]", process.stderr.readline()):
        assert process.poll() is None
        assert time.monotonic() < deadline


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
async def test_interrupted_twice_it_still_writes_its_file(
    valkey: Server, tmp_path: Path, number: signal.Signals
) -> None:
    file = tmp_path / "run.json.gz"
    async with service(valkey, tmp_path, workers=0) as fleet:
        with subprocess.Popen(
            command("constant:20", "--url", fleet.base, "--duration", "900", "--output", file),
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            wait_until_sent(process)
            process.send_signal(number)
            time.sleep(0.2)  # two signals at once may be one
            process.send_signal(number)
            stdout, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    run = read(file)
    assert set(run.jobs.outcome) == {"given up"}
    assert "The run was interrupted" in stdout


async def test_lost_jobs_are_exit_code_1(valkey: Server, tmp_path: Path) -> None:
    file = tmp_path / "run.json.gz"
    async with service(valkey, tmp_path, workers=0) as fleet:
        ended = done("constant:5", "--url", fleet.base, "--duration", "1", "--timeout", "0.5", "--output", file)
    assert ended.returncode == 1
    assert set(read(file).jobs.outcome) == {"lost"}
    assert "count as lost" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the following arguments are required: LOAD"),
        (("nothing:1",), "there is no load 'nothing'"),
        (("trace:/no/such/file",), "can't be read"),
        (("constant:1", "--url", "localhost"), "a URL as http://127.0.0.1:8002 is needed, not 'localhost'"),
        (("constant:1", "--url", NOWHERE), f"{NOWHERE} does not answer"),
        (("constant:1", "--duration", "0"), "--duration"),
        (("constant:1", "--duration", "nan"), "--duration"),
        (("constant:1", "--poll", "-1"), "--poll"),
        (("constant:1", "--timeout", "-1"), "--timeout"),
        (("constant:1", "--input", "@/no/such/file"), "the input '/no/such/file' can't be read"),
        (("constant:1", "--url", "http://me:secret@127.0.0.1:1", "--api-key", "k"), "give one"),
        (("constant:1", "--output", "/no/such/folder/file"), "no file can be written"),
        (("constant:1", "--output", "/tmp"), "no file can be written"),  # noqa: S108
    ],
)
def test_mistakes_are_one_sentence(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench load", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert "secret" not in printed
