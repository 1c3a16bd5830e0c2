"""The measurement of reloads, tiny: that it measures what it says. Real processes."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import pytest

from bench import reload

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    """The command silences the workers' log."""
    logger = logging.getLogger("workers")
    before = logger.level
    yield
    logger.setLevel(before)


async def test_each_end_has_its_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_BYTES", "50000000")

    found = await reload.measure(3, 2, is_forked=True)

    assert (len(found.loads_s), len(found.killed_s), len(found.cancelled_s)) == (1, 2, 2)
    assert min(found.killed_s + found.cancelled_s) > 0
    assert 50_000_000 < found.pss_bytes < 4 * 50_000_000  # once, and what the processes have for themselves


def test_command_prints_a_line_for_each_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(os.environ, "MODEL_BYTES", "")
    monkeypatch.setattr(sys, "argv", ["bench reload", *["--gigabytes", "0.001", "--processes", "1", "--kills", "1"]])

    reload.main()

    printed = capsys.readouterr().out
    for words in ("MODEL_FORK=1", "MODEL_FORK=0", "PSS of 1", "a model of 0.001 GB"):
        assert words in printed
