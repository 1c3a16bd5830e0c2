"""What a model's `requirements.txt` asks for."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from deploy.local.model import packages
from deploy.local.model.packages import install_for
from tests.deploy.local.service import RunCommand
from tests.processes import PATIENCE_S, ROOT, module

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The file with the model."""
    file = tmp_path / "doubles.py"
    file.write_text("class Doubles:\n    def predict(self, input): return 2 * input\n")
    return file


def check(model: Path) -> subprocess.CompletedProcess[str]:
    """`check` on the model, once it has ended."""
    command = [*module("deploy.local.model.check"), f"{model}:Doubles"]
    environment = {**os.environ, "MODEL_SETUP_S": "0"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


def test_packages_of_a_model_that_conflict_with_the_services_are_named(model: Path) -> None:
    model.with_name("requirements.txt").write_text("redis<5\n")

    with RunCommand(model.parent, MODEL=f"{model}:Doubles") as command:
        assert command.reap(PATIENCE_S) == 2

    assert "requirements.txt: it asks for redis<5, but the service has redis 5." in command.text.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["orjson<3", "orjson[fast]<3"])
def test_a_models_packages_do_not_replace_the_services(model: Path, asked: str) -> None:
    listed = model.with_name("requirements.txt")
    listed.write_text(f"{asked}\n")

    done = check(model)

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"{listed}: it asks for {asked}, but the service has orjson 3.")


@pytest.mark.slow
def test_packages_that_are_there_are_not_installed_again(
    model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # Tests of other models, at the same time, leave their own.
    monkeypatch.setattr(packages, "_STAMP", model.with_name("stamp"))
    model.with_name("requirements.txt").write_text("orjson\n")

    install_for(f"{model}:Doubles")
    first = capfd.readouterr()
    install_for(f"{model}:Doubles")
    second = capfd.readouterr()

    assert "installing what" in first.out + first.err
    assert "installing what" not in second.out + second.err
