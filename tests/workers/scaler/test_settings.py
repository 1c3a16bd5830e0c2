"""What the policy is told by the settings."""

from __future__ import annotations

import pytest

from workers.scaler.settings import ScalerSettings


@pytest.mark.parametrize(
    ("mode", "told_s", "expected_s"), [("keda", 0, 7.5), ("direct", 0, 1), ("keda", 2.5, 2.5), ("direct", 3, 3)]
)
def test_actuation_is_that_of_the_mode_unless_it_is_told(
    mode: str, told_s: float, expected_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALER_MODE", mode)
    monkeypatch.setenv("ACTUATION_S", str(told_s))
    monkeypatch.setenv("CONCURRENCY", "3")
    options = ScalerSettings().policy_options
    assert (options.actuation_s, options.concurrency) == (expected_s, 3)


@pytest.mark.parametrize("setting", ["MODEL_MAX_BATCH_SIZE", "MODEL_MAX_CONCURRENCY"])
@pytest.mark.parametrize(("size", "expected"), [("", 3), ("0", 3), ("1", 3), ("20", 60)])
def test_a_worker_with_batches_or_shared_processes_runs_so_many_jobs_in_each(
    setting: str, size: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONCURRENCY", "3")
    monkeypatch.setenv(setting, size)
    assert ScalerSettings().policy_options.concurrency == expected
