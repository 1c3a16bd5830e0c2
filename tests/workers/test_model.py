"""The toy model."""

from __future__ import annotations

import pytest

from workers.model import Model


def test_an_input_can_say_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the load generator's do when it replays a trace: a prediction of an hour would not end here."""
    monkeypatch.setenv("MODEL_SETUP_S", "0")
    monkeypatch.setenv("MODEL_PREDICT_S", "3600")
    answer = Model().predict({"service_s": 0})
    assert answer["input"] == {"service_s": 0}
    assert "ran on" in answer["output"]


@pytest.mark.parametrize("given", ["text", None, [], {"service_s": -1}, {"service_s": "long"}, {"service_s": None}])
def test_any_other_input_takes_the_usual_time(given: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered, whatever it is."""
    monkeypatch.setenv("MODEL_SETUP_S", "0")
    monkeypatch.setenv("MODEL_PREDICT_S", "0")
    assert Model().predict(given)["input"] == given
