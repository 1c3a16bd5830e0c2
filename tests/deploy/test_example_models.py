"""The examples of models in the manual work, as a user tries them."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from deploy.local.packages import requirements_of
from tests.deploy.test_check import check
from tests.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

FOLDER = ROOT / "docs" / "models"


def result_of(model: str, value: Any) -> Any:
    """What `check` prints as the result of an input."""
    done = check(f"docs/models/{model}", "--input", orjson.dumps(value).decode())
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("result: ")]
    return orjson.loads(line.removeprefix("result: "))


def error_of(model: str, value: Any) -> str:
    """The last line that `check` prints for an input that fails."""
    done = check(f"docs/models/{model}", "--input", orjson.dumps(value).decode())
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


def test_each_example_is_tested_here() -> None:
    tested = {FOLDER / path for path in ("babble.py", "quote.py", "thumbnail/thumbnail.py", "nearest/nearest.py")}
    assert set(FOLDER.rglob("*.py")) == tested


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


@pytest.mark.parametrize("model", ["thumbnail/thumbnail.py", "nearest/nearest.py"])
def test_an_example_with_packages_lists_them(model: str) -> None:
    listed: Path | None = requirements_of(f"{FOLDER / model}:Model")
    assert listed
    assert listed.read_text().strip() in ("pillow", "numpy")
