"""MODELS_FILE: what is in it, and what is refused with which sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workers.scaler.models.models_file import ModelsFileError, read_models

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
budget: {pods: 8, nvidia.com/gpu: 8, memory: 64Gi}
models:
  - queue: whisper
    deployment: leadtime-whisper
    scaling: direct
    min_replicas: 1
    max_replicas: 6
    guaranteed: 2
    objective_s: 4
    late_cost: 7
    service_guess_s: 2.5
    startup_guess_s: 40
    concurrency: 8
    batch: 4
    resources: {nvidia.com/gpu: 1, memory: 500Mi}
  - {queue: llava, deployment: leadtime-llava, min_replicas: 1}
"""


def test_models_and_their_budget(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(GOOD, encoding="utf-8")

    found = read_models(path)

    assert found.budget == {"pods": 8, "nvidia.com/gpu": 8, "memory": 64 * 2**30}
    whisper, llava = found.models
    assert (whisper.share, whisper.takes) == (2, {"pods": 1, "nvidia.com/gpu": 1, "memory": 500 * 2**20})
    options = whisper.options()
    assert (options.min_replicas, options.max_replicas, options.concurrency, options.actuation_s) == (1, 6, 8, 1.0)
    assert (options.objective_s, options.late_cost) == (4.0, 7.0)
    assert (options.service_guess_s, options.startup_guess_s) == (2.5, 40.0)
    assert (llava.scaling, llava.share, llava.takes) == ("keda", 1, {"pods": 1})
    assert (llava.options().actuation_s, llava.options(3.0).actuation_s, llava.options().objective_s) == (
        7.5,
        3.0,
        None,
    )


ONE = "models: [{queue: a, deployment: a%s}]"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("models: [", "is no YAML"),
        ("[1]", "Input should be a valid dictionary"),
        ("models: []", "models: List should have at least 1 item"),
        ("models: [{queue: a}]", "models.0.deployment: Field required"),
        (ONE % ", replicas: 3", "models.0.replicas: Extra inputs are not permitted"),
        ("budgets: {pods: 3}\n" + ONE % "", "budgets: Extra inputs are not permitted"),
        (ONE % ", scaling: streams", "models.0.scaling: Input should be 'keda' or 'direct'"),
        (ONE % ", min_replicas: 4, max_replicas: 3", "models.0: min_replicas: 4 is more than max_replicas: 3"),
        (ONE % ", standby: 11", "models.0: standby: 11 is more than max_replicas: 10"),
        (ONE % ", standby_price: 1.5", "models.0.standby_price: Input should be less than or equal to 1"),
        (ONE % ", guaranteed: 11", "guaranteed: 11 is not between min_replicas: 0 and max_replicas: 10"),
        (ONE % ", concurrency: 4, batch: 8", "models.0: batch: 8 is more than concurrency: 4"),
        (ONE % ", resources: {pods: 1}", "a pod takes one of pods: resources must not name it"),
        (ONE % ", resources: {memory: lots}", "'lots' is no quantity, such as 2, 500m or 16Gi"),
        ("budget: {pods: true}\n" + ONE % "", "budget.pods: True is no quantity"),
        ("budget: {pods: %s}\n" % ("9" * 5000) + ONE % "", "can't be read: Exceeds the limit"),
        ("models: [{queue: 2024-13-45, deployment: a}]", "can't be read: month must be in 1..12"),
        ("models: " + 5000 * "[" + 5000 * "]", "can't be read: maximum recursion depth"),
        ("models: [{queue: a, deployment: a}, {queue: a, deployment: b}]", "two models have the queue a"),
        ("models: [{queue: a, deployment: a}, {queue: b, deployment: a}]", "two models have the deployment a"),
        ("budget: {nvidia.com/gpu: 1}\n" + ONE % "", "budget: no model's resources name nvidia.com/gpu"),
        (
            "budget: {gpu: 1}\n" + ONE % ", resources: {gpu: 2}",
            "budget: one pod of a takes 2 of gpu, there are 1",
        ),
        ("budget: {pods: 1}\n" + ONE % ", guaranteed: 2", "budget: the guaranteed shares take 2 of pods, there are 1"),
        ("a" * 1_048_577, "is larger than 1048576 bytes"),
    ],
)  # fmt: skip
def test_faulty_files_are_refused_with_a_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ModelsFileError) as raised:
        read_models(path)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelsFileError, match="can't be read: No such file or directory"):
        read_models(tmp_path / "models.yaml")
