"""The script behind the README's commands, which makes the environment."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.local import __main__ as launcher

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that an installation runs, of which none is really run; `.venv` is in a folder of the test's."""
    ran: list[list[str]] = []
    venv = tmp_path / ".venv"
    python = venv / "bin" / "python"

    def checked(command: list[str], _what: str, _on_line: Callable[[bytes], None] | None = None) -> None:
        ran.append(command)
        if "venv" in command:
            python.parent.mkdir(parents=True, exist_ok=True)
            python.unlink(missing_ok=True)
            python.symlink_to(sys.executable)

    for name, value in {"VENV": venv, "PYTHON": python, "STAMP": venv / "leadtime-stamp"}.items():
        monkeypatch.setattr(launcher, name, value)
    monkeypatch.setattr(launcher, "checked", checked)
    return ran


def kinds(commands: list[list[str]]) -> list[str]:
    """`venv`, or `pip` with the lists that it installs."""
    names = {str(path): name for name, path in launcher.LISTS.items()}
    return [" ".join([command[2], *(names[word] for word in command if word in names)]) for command in commands]


def test_installs_once(commands: list[list[str]]) -> None:
    launcher.install({"service": b"a==1"})
    assert kinds(commands) == ["venv", "pip service"]
    assert "--require-hashes" in commands[1]
    launcher.install({"service": b"a==1"})
    assert len(commands) == 2
    launcher.install({"service": b"a==2"})
    assert kinds(commands) == ["venv", "pip service", "pip service"]


def test_a_command_adds_its_list_to_those_that_are_there(commands: list[list[str]]) -> None:
    launcher.install({"service": b"a==1", "up": b"b==1"})
    launcher.install({"service": b"a==1", "up": b"b==1", "bench": b"c==1", "test": b"d==1"})
    launcher.install({"service": b"a==1", "up": b"b==1"})
    assert kinds(commands) == ["venv", "pip service up", "pip bench test"]


def test_only_a_changed_list_is_installed_again(commands: list[list[str]]) -> None:
    launcher.install({"service": b"a==1", "up": b"b==1"})
    launcher.install({"service": b"a==1", "up": b"b==2"})
    launcher.install({"service": b"a==1", "up": b"b==1"})
    assert kinds(commands) == ["venv", "pip service up", "pip up", "pip up"]


def test_interrupted_install_is_redone(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that was there before: pip may have been about to replace some of it."""
    works: Callable[..., None] = launcher.checked

    def fails(command: list[str], what: str, on_line: Callable[[bytes], None] | None = None) -> None:
        works(command, what, on_line)
        if "pip" in command:
            raise KeyboardInterrupt

    launcher.install({"service": b"a==1"})
    monkeypatch.setattr(launcher, "checked", fails)
    with pytest.raises(KeyboardInterrupt):
        launcher.install({"service": b"a==1", "up": b"b==1"})
    monkeypatch.setattr(launcher, "checked", works)
    launcher.install({"service": b"a==1"})
    assert kinds(commands) == ["venv", "pip service", "pip up", "venv", "pip service"]
    assert "--clear" in commands[3]


def test_moved_clone_gets_a_new_environment(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    launcher.install({"service": b"a==1"})
    monkeypatch.setattr(launcher, "ROOT", Path("/elsewhere"))
    launcher.install({"service": b"a==1"})
    assert kinds(commands) == ["venv", "pip service"] * 2


def test_environment_that_was_there_is_kept(commands: list[list[str]]) -> None:
    """One that was made by hand, with the right Python."""
    launcher.checked(["", "-m", "venv"], "")
    launcher.install({"service": b"a==1"})
    assert kinds(commands) == ["venv", "pip service"]


def test_each_step_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    progress = launcher.Progress(30)
    for line in [*[b"Collecting a==1"] * 30, b"  Downloading a-1.whl", b"Installing collected packages: a"]:
        progress(line)
    assert capsys.readouterr().err.splitlines() == [
        "leadtime: downloading: 20 of 30 packages",
        "leadtime: installing them into .venv",
    ]


def test_pip_keeps_the_lock_when_its_command_is_killed(tmp_path: Path) -> None:
    """Else the next command would install into the same folder at the same time."""
    with (tmp_path / "list").open("wb") as lock:
        os.set_inheritable(lock.fileno(), True)
        launcher.checked([sys.executable, "-c", f"import os; os.fstat({lock.fileno()})"], "looking for the lock")


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """One clear sentence, not a traceback; for root too, so the folder is none."""
    clone = tmp_path / "clone"
    (clone / "deploy" / "local").mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "local" / "__main__.py", clone / "deploy" / "local")
    (clone / "deploy" / "requirements.txt").touch()
    (clone / ".venv").symlink_to("/dev/null/nowhere")
    done = subprocess.run([sys.executable, clone / "deploy" / "local", "install"], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(b"leadtime: ")


def test_old_pythons_can_read_the_script() -> None:
    """So that they get to say which Python is needed."""
    source = (ROOT / "deploy" / "local" / "__main__.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))
    assert "import annotations" not in source


@pytest.mark.parametrize("version", [(3, 6), (3, 7), (3, 10), (3, 14), (4, 0)])
def test_wrong_python(version: tuple[int, int], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        launcher.check_python(version)
    said = capsys.readouterr().err
    assert said.startswith("leadtime: Leadtime needs Python 3.11, 3.12 or 3.13, but ")
    assert said.count("\n") == 1


def test_no_venv_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(SystemExit, match="2"):
        launcher.check_python((3, 12))
    assert "apt-get install python3-venv python3-pip" in capsys.readouterr().err


def test_failing_command_shows_its_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with pytest.raises(SystemExit, match="2"):
        launcher.checked([sys.executable, "-c", "print('no such package'); raise SystemExit(7)"], "installing")
    said = capfdbinary.readouterr().err
    assert said.startswith(b"no such package\nleadtime: installing failed (exit code 7, ")


def test_up_takes_no_arguments() -> None:
    command = [sys.executable, str(ROOT / "deploy" / "local"), "up", "--port", "8003"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("leadtime: `up` takes no arguments, but got '--port 8003': settings come from ")


@pytest.mark.parametrize("arguments", [[], ["nope"], ["--help"]])
def test_usage(arguments: list[str]) -> None:
    command = [sys.executable, str(ROOT / "deploy" / "local"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if "--help" in arguments else 2)
    assert "usage: python3 deploy/local {up | test | " in done.stdout + done.stderr
