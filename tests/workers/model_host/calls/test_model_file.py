"""Models in files of their own, anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.workers.model_host.tools import ONE_LOOP, do, make, running
from workers.model_host.errors import ModelNotFound

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workers.model_host.tools import Run

pytestmark = ONE_LOOP

MODEL = '''
import dataclasses
import multiprocessing
import pickle
import sys

import beside_the_model


@dataclasses.dataclass
class Point:
    x: int

    def doubled(self) -> int:
        return 2 * self.x


class Model:
    def predict(self, input):
        """Sends a point there and back: by pickle, and to a spawned process."""
        point = pickle.loads(pickle.dumps(Point(input)))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            doubled = pool.map(Point.doubled, [point])
        return [doubled, Model.__module__, sys.path[0], beside_the_model.VALUE]
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "beside_the_model.py").write_text("VALUE = 'beside'\n")
    (tmp_path / "my_own_model.py").write_text(MODEL)
    return tmp_path


@pytest.mark.parametrize("is_relative", [False, True])
def test_its_classes_can_be_pickled_and_sent_to_spawned_processes(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, is_relative: bool
) -> None:
    monkeypatch.chdir(folder.parent)
    name = f"{folder.name if is_relative else folder}/my_own_model.py:Model"

    async def scenario() -> None:
        async with running(make(name)) as host:
            result = await host.predict(b"4")
        assert result.decode() == f'[[8],"my_own_model","{folder}","beside"]'

    run(scenario())


def test_its_name_may_be_all(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "my_own_model.py").write_text("class Model:\n    def predict(self, input):\n        return input\n")

    async def scenario() -> None:
        async with running(make("my_own_model.py:Model")) as host:
            assert await do(host, 1) == [1]

    run(scenario())


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("absent.py", None, "there is no file /.*/absent.py"),
        ("a-model.py", "", "a-model.py can't be imported: its name before .py must be a Python identifier; rename it"),
        ("json.py", "", r"/.*/json.py has the name of the module json \(/.*\): rename the file"),
        ("sys.py", "", r"/.*/sys.py has the name of the module sys \(built-in\): rename the file"),
        ("redis.py", "", r"/.*/redis.py has the name of the module redis \(/.*\): rename the file"),
        ("packed.py", "", r"/.*/packed.py has the name of the module packed \(/.*__init__.py\): rename the file"),
        ("__main__.py", "", r"/.*/__main__.py has the name of the module __main__ \(.*\): rename the file"),
        ("empty.py", "", "AttributeError: module 'empty' has no attribute 'Model'"),
        ("wrong.py", "def\n", r"SyntaxError: invalid syntax \(wrong.py, line 1\)"),
        ("needy.py", "\nimport not_there_at_all\n", r"ModuleNotFoundError: .* \(/.*/needy.py, line 2\)"),
        ("number.py", "Model = 1\n", "/.*/number.py:Model is no class"),
        ("bare.py", "class Model: ...\n", "/.*/bare.py:Model has no method predict"),
    ],
)
def test_a_file_that_is_no_model_is_refused_in_one_sentence(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str], file: str, text: str | None, reason: str
) -> None:
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "__init__.py").touch()
    if text is not None:
        (tmp_path / file).write_text(text)

    async def scenario() -> None:
        with pytest.raises(ModelNotFound, match=f"^the model /.*/{file}:Model could not be loaded: {reason}$"):
            await make(f"{tmp_path / file}:Model").run()

    run(scenario())
    assert "Traceback" not in capfd.readouterr().err
