"""`python3 deploy/local check` on models of all kinds: what it prints, and what it says of what is wrong."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.processes import ROOT, module

if TYPE_CHECKING:
    from pathlib import Path

MODEL = '''
from typing import Annotated
from pydantic import Field


class Repeats:
    """Says a text several times."""

    def predict(self, text: str, times: Annotated[int, Field(le=13)] = 1) -> list[str]:
        if times == 13:
            raise LookupError("thirteen")
        return [text] * times


class Broken:
    def __init__(self):
        self.weights = {}["layer-7"]

    def predict(self, input):
        return input


class Threaded:
    def __init__(self):
        import threading
        threading.Thread(target=threading.Event().wait, daemon=True).start()

    def predict(self, input):
        return float("nan")
'''


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The file with the models."""
    file = tmp_path / "repeats.py"
    file.write_text(MODEL)
    return file


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, once it has ended."""
    environment = {**os.environ, "MODEL_SETUP_S": "0"}
    command = [*module("deploy.local.model.check"), *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_it_says_what_a_model_takes_and_costs_and_runs_an_input(model: Path) -> None:
    done = check(f"{model}:Repeats", "--input", '{"text": "a", "times": "2"}')

    assert done.returncode == 0, done.stderr
    for line in ("loaded in: ", "memory: ", "threads:      1: it can be forked", '"maximum": 13', "predict took: "):
        assert line in done.stdout
    assert 'result:       ["a","a"]' in done.stdout


@pytest.mark.slow
def test_an_input_may_be_in_a_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "input.json").write_bytes(orjson.dumps({"text": "of a file"}))

    done = check(f"{model}:Repeats", "--input", f"@{tmp_path / 'input.json'}")

    assert 'result:       ["of a file"]' in done.stdout


def test_threads_and_warnings_are_told(model: Path) -> None:
    done = check(f"{model}:Threaded", "--input", "1")

    assert "threads:      2: it can't be forked" in done.stdout
    assert "input:        any JSON" in done.stdout
    assert "warning:      : NaN became null" in done.stdout


@pytest.mark.parametrize(
    ("name", "arguments", "code", "sentence"),
    [
        ("Broken", [], 1, "could not be loaded: KeyError: 'layer-7' ({file}, line 17)"),
        ("Repeats", ["--input", '{"text": "a", "times": 13}'], 1, "error: LookupError: thirteen ({file}, line 11)"),
        ("Repeats", ["--input", "{}"], 1, "error: InvalidInput: /text: this member is missing"),
        pytest.param(
            "Repeats",
            ["--input", "a"],
            2,
            """--input: it is no JSON, where a text is '"hello"': """,
            marks=pytest.mark.slow,
        ),
        pytest.param("Repeats", ["--input", "@/there/is/none"], 2, "bad argument --input: ", marks=pytest.mark.slow),
        pytest.param("Missing", [], 1, "has no attribute 'Missing'", marks=pytest.mark.slow),
        ("no class", [], 2, "bad setting MODEL="),
    ],
)
def test_what_is_wrong_is_told_in_the_last_line(
    model: Path, name: str, arguments: list[str], code: int, sentence: str
) -> None:
    done = check(f"{model}:{name}", *arguments)

    assert done.returncode == code
    assert sentence.format(file=model) in done.stderr.splitlines()[-1]
