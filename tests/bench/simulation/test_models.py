"""Several models within one budget, simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.simulation import command
from bench.simulation.models import simulate_models
from bench.simulation.times import constant
from workers.scaler.models.models_file import ModelsFile

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
budget: {pods: 6}
models:
  - {queue: whisper, deployment: whisper, max_replicas: 8, guaranteed: 1}
  - {queue: llava, deployment: llava, service_guess_s: 2, startup_guess_s: 10, max_replicas: 8, guaranteed: 1}
"""
ENTRIES = [
    {"queue": "whisper", "deployment": "whisper", "max_replicas": 8, "guaranteed": 1},
    {"queue": "llava", "deployment": "llava", "service_guess_s": 2, "startup_guess_s": 10, "guaranteed": 1},
]
SIX = ModelsFile.model_validate({"budget": {"pods": 6}, "models": ENTRIES})


def test_never_above_the_budget_and_no_pods_to_and_fro() -> None:
    """1.4 jobs/s of 5 s alone want more than there is."""
    run = simulate_models(SIX, {"whisper": "constant:1.4", "llava": "constant:1"}, duration_s=300.0, seed=7)

    assert run.most == {"pods": 6}
    assert all(result.unfinished == 0 for result in run.results.values())
    assert sum(result.starts for result in run.results.values()) < 20
    reasons = [reason for _, reason in run.results["whisper"].reasons]
    assert any("; the budget (6 pods) gives" in f"; {reason}" for reason in reasons)


def test_enough_for_all_is_as_without_a_budget() -> None:
    loads = {"whisper": "constant:0.3", "llava": "constant:0.5"}
    budgets: list[dict[str, float]] = [{"pods": 100.0}, {}]
    runs = [simulate_models(SIX, loads, duration_s=100.0, budget=budget) for budget in budgets]
    for queue in loads:
        within, alone = (run.results[queue] for run in runs)
        assert (within.finished_s, within.pod_s) == (alone.finished_s, alone.pod_s)


BATCHES = {
    "queue": "batch", "deployment": "batch", "objective_s": 10, "startup_guess_s": 5, "max_replicas": 8,
    "guaranteed": 1, "concurrency": 8, "batch": 8,
}  # fmt: skip


def test_a_model_that_runs_batches_lets_its_idle_pod_go_to_another() -> None:
    """1.5 jobs/s of 5 s fit into calls of eight of one pod. It needs a second one only while it catches up."""
    models = [BATCHES, {"queue": "whisper", "deployment": "whisper", "max_replicas": 8, "objective_s": 20}]
    file = ModelsFile.model_validate({"budget": {"pods": 4}, "models": models})
    loads = {"batch": "constant:1.5", "whisper": "step:0.3,0.6@60"}

    run = simulate_models(file, loads, process="deterministic", duration_s=200.0, startups={"batch": constant(12.0)})

    batch = run.results["batch"]
    assert run.most == {"pods": 4}
    assert batch.starts == 2
    assert batch.pod_s < 1.25 * 200
    assert run.results["whisper"].peak == 3


def simulate(monkeypatch: pytest.MonkeyPatch, path: Path, *more: str) -> None:
    path.write_text(FILE, encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["simulate", "--models", str(path), "--duration", "100", *more])
    command.main()


def test_the_command_says_what_the_budget_cost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    simulate(monkeypatch, tmp_path / "models.yaml", "--load", "whisper=constant:0.2", "llava=constant:0.1")
    out = capsys.readouterr().out
    assert out.startswith("2 models; most at one time: ")
    assert " of 6 pods\n" in out
    for row in ("  whisper ", "  whisper, without a budget ", "  llava ", "  llava, without a budget "):
        assert f"\n{row}" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--load", "whisper=constant:1"], "llava has no load: add llava=LOAD"),
        (["--load", "whisper"], "'whisper' is no load of a model, such as llava=constant:0.5"),
        (["--load", "wisper=constant:1"], "'wisper=constant:1' is no load of a model, such as llava=constant:0.5"),
        (["--rule", "streams"], "--rule does not go with --models"),
    ],
)
def test_what_cannot_be_simulated_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    sentence: str,
) -> None:
    with pytest.raises(SystemExit) as end:
        simulate(monkeypatch, tmp_path / "models.yaml", *arguments)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err
