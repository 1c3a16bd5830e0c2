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
