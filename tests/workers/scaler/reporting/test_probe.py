"""What a scaler says of itself to Kubernetes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.workers.scaler.doubles import FixedLeadership, FixedWorkers
from workers.scaler.models.one_model import ModelScaler
from workers.scaler.policy import Options
from workers.scaler.reporting.probe import ScalerProbe

if TYPE_CHECKING:
    import pytest

    from workers.stream import Stream


async def ready_after_a_round(stream: Stream, holder: str) -> tuple[bool, str]:
    """A scaler that follows another one, which has decided nothing of the model."""
    scaler = ModelScaler(stream, Options(max_replicas=3), FixedWorkers(), FixedLeadership(False, holder))
    await scaler.observe()
    await scaler.settle()
    await scaler.status.end_round()
    return ScalerProbe(scaler.status)._ready()


async def test_a_leader_that_does_not_know_the_models_does_not_keep_a_new_release_waiting(
    one_stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes when the new one is ready, and the new one leads when it has gone."""
    assert await ready_after_a_round(one_stream, "old") == (False, "nothing has been decided yet")
    monkeypatch.setattr("workers.scaler.reporting.probe.UNKNOWN_S", 1e-9)
    is_ready, text = await ready_after_a_round(one_stream, "old")
    assert is_ready
    assert text.startswith("another scaler leads, which does not know these models")


async def test_without_a_leader_nobody_is_ready(one_stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.scaler.reporting.probe.UNKNOWN_S", 1e-9)
    assert await ready_after_a_round(one_stream, "") == (False, "nothing has been decided yet")
