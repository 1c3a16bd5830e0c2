"""Fixtures of the tests of looking ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workers.worker import finishes

if TYPE_CHECKING:
    from workers.settings import WorkerSettings


@pytest.fixture
def long_settings(worker_settings: WorkerSettings) -> WorkerSettings:
    """With a lease that no test waits for, and more patience with jobs than a slow machine needs."""
    return worker_settings.model_copy(update={"lease_s": 600.0, "grace_s": 60.0, "look_ahead_s": 1.0})


@pytest.fixture
def patient_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """An end waits for others as long as a slow call takes, and such a call takes longer on a busy machine."""
    monkeypatch.setattr(finishes, "_MOST_GATHER_S", 60.0)
