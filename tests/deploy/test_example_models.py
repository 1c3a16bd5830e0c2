"""The examples of models in the manual work, as a user tries them."""

from __future__ import annotations

import base64
import io
import operator
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.local.model.packages import requirements_of
from tests.deploy.local.model.test_check import check
from tests.processes import PATIENCE_S, ROOT

pytestmark = pytest.mark.slow

FOLDER = ROOT / "docs" / "models"
LISTED = {"thumbnail": "pillow", "nearest": "numpy", "digits": "scikit-learn", "embedding": "onnxruntime"}
EXAMPLES = {"babble.py", "quote.py"} | {f"{name}/{name}.py" for name in LISTED}


def result_of(model: str, value: Any) -> Any:
    """What `check` prints as the result of an input."""
    done = check(str(FOLDER / model), "--input", orjson.dumps(value).decode())
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("result: ")]
    return orjson.loads(line.removeprefix("result: "))


def error_of(model: str, value: Any) -> str:
    """The last line that `check` prints for an input that fails."""
    done = check(str(FOLDER / model), "--input", orjson.dumps(value).decode())
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


def with_packages(folder: Path, monkeypatch: pytest.MonkeyPatch, example: str, *arguments: str) -> str:
    """A copy of the example without its list, and what pip installs just for it: this environment stays as it is."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder / "packages")]
    subprocess.run([*command, *arguments], check=True, timeout=4 * PATIENCE_S)
    monkeypatch.setenv("PYTHONPATH", str(folder / "packages"))
    return str(shutil.copy(FOLDER / example, folder / Path(example).name))


def test_each_example_is_tested_here() -> None:
    assert {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.py")} == EXAMPLES


def test_the_text_generator_says_the_same_for_the_same_seed() -> None:
    text = result_of("babble.py:Babble", {"first": "the", "words": 6, "seed": 7})

    assert len(text.split()) == 6
    assert text == result_of("babble.py:Babble", {"first": "the", "words": 6, "seed": 7})
    assert "/words" in error_of("babble.py:Babble", {"words": 0})


def test_the_quote_is_an_object_and_a_bad_order_is_refused() -> None:
    crate = {"sides_cm": [100, 100, 50], "weight_kg": 20}

    assert result_of("quote.py:Quote", {"crates": [crate], "speed": "fast"}) == {"price_eur": 80.0, "volume_m3": 0.5}
    assert "InvalidInput: /crates/0/sides_cm" in error_of("quote.py:Quote", {"crates": [{**crate, "sides_cm": [1]}]})
    weightless = {**crate, "weight_kg": 0, "count": 2}
    assert "several crates can't weigh nothing" in error_of("quote.py:Quote", {"crates": [weightless]})


def test_the_thumbnail_of_an_image_fits_into_its_square() -> None:
    images = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    images.new("RGB", (300, 200), "orange").save(file, "JPEG")

    image = base64.b64encode(file.getvalue()).decode()
    result = result_of("thumbnail/thumbnail.py:Thumbnail", {"image": image, "size": 30})

    assert (result["width"], result["height"]) == (30, 20)
    assert images.open(io.BytesIO(base64.b64decode(result["image"]))).size == (30, 20)
    assert "image is no image in base64" in error_of("thumbnail/thumbnail.py:Thumbnail", {"image": "!"})


def test_many_rows_are_answered_in_one_job() -> None:
    pytest.importorskip("numpy")

    result = result_of("nearest/nearest.py:Nearest", [[0.0] * 8] * 50)

    assert len(result["indexes"]) == len(result["distances"]) == 50
    assert len(set(result["indexes"])) == 1


def test_a_digit_is_guessed_by_what_was_learnt_at_the_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    file = with_packages(tmp_path, monkeypatch, "digits/digits.py", "scikit-learn")
    a_seven = [
        [0, 0, 7, 8, 13, 16, 15, 1], [0, 0, 7, 7, 4, 11, 12, 0], [0, 0, 0, 0, 8, 13, 1, 0], [0, 4, 8, 8, 15, 15, 6, 0],
        [0, 2, 11, 15, 15, 4, 0, 0], [0, 0, 0, 16, 5, 0, 0, 0], [0, 0, 9, 15, 1, 0, 0, 0], [0, 0, 13, 5, 0, 0, 0, 0],
    ]  # fmt: skip

    guess = result_of(f"{file}:Digits", [pixel for row in a_seven for pixel in row])

    assert guess["digit"] == 7
    assert 0.5 < guess["probability"] <= 1
    assert "InvalidInput" in error_of(f"{file}:Digits", [17] * 64)


def test_sentences_of_one_meaning_have_similar_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    packages = (FOLDER / "embedding/requirements.txt").read_text().split()
    file = with_packages(tmp_path, monkeypatch, "embedding/embedding.py", "--no-deps", *packages, "flatbuffers")

    texts = ["the cat sits on the mat", "die Katze sitzt auf der Matte", "stock prices fell"]
    program = f"import embedding; print(embedding.Embedding().predict_batch({texts}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True)
    cat, katze, prices = orjson.loads(done.stdout)

    assert len(cat) == 512
    assert sum(map(operator.mul, cat, katze)) > 0.7
    assert sum(map(operator.mul, cat, prices)) < 0.4
    assert "InvalidInput" in error_of(f"{file}:Embedding", "")


@pytest.mark.parametrize(("example", "package"), LISTED.items())
def test_an_example_with_packages_lists_them(example: str, package: str) -> None:
    listed: Path | None = requirements_of(f"{FOLDER / example / example}.py:Model")
    assert listed
    assert package in listed.read_text().split()
