"""The measurement of a gateway, tiny: that each value has come and each batch was accepted. Real parts."""

from __future__ import annotations

import sys

import pytest

from bench import gateway


@pytest.mark.slow
def test_command_prints_what_a_gateway_bears(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench gateway", "--listeners", "5", "--seconds", "1", "--batches", "2"])

    gateway.main()

    listeners, events, batches = capsys.readouterr().out.splitlines()
    assert listeners.startswith("memory of an idle listener: ")
    assert " events/s in all, from the worker to the listener: p50 " in events
    assert batches.startswith("accepted in batches of 1000: ")
