"""The measurement of events, tiny: that each value has come. A real server and a real worker."""

from __future__ import annotations

import sys

import pytest

from bench import events


@pytest.mark.slow
def test_command_prints_how_late_values_are_and_how_many_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--generators", "2", "--rate", "20", "--seconds", "0.5", "--flood", "50"]
    monkeypatch.setattr(sys, "argv", ["bench events", *arguments])

    events.main()

    paced, flood = capsys.readouterr().out.splitlines()[:2]
    assert paced.startswith("2 generators of 20 values/s, yield to reader: p50 ")
    assert paced.endswith(", of 20")
    assert flood.startswith("as fast as they can: ")
