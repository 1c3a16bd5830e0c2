"""The measurement of what a job costs the server, tiny: that it counts what it says. Real servers and processes."""

from __future__ import annotations

import sys

import pytest

from bench import calls
from bench.common import server
from bench.common.processes import ROOT


def test_each_call_of_each_chunk_is_counted() -> None:
    with server.running("valkey") as running:
        costs = calls.lives(running, ROOT, 40, 20, 10, "in chunks")
    assert [round(40 * count) for count, _ in costs.values()] == [2, 4, 4, 10]
    assert all(us > 0 for _, us in costs.values())


def test_ratios_are_taken_round_by_round() -> None:
    ours = [{"push": (1.0, 10.0)}, {"push": (1.0, 40.0)}, {"push": (1.0, 30.0)}]
    theirs = [{"push": (2.0, 20.0)}, {"push": (2.0, 50.0)}, {"push": (2.0, 20.0)}]
    assert calls.table({"this one": ours, "the other": theirs}).split()[-6:] == [
        "push", "1.00", "30.0", "2.00", "20.0", "0.80",
    ]  # fmt: skip


@pytest.mark.slow
def test_command_prints_what_each_kind_of_job_costs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench calls", "--jobs", "100", "--rounds", "1"])
    calls.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line[:26].strip() for line in lines[1:10]] == [
        *(f"{what}, in chunks" for what in ("push", "claim", "finish", "all three")),
        *(f"{what}, one at a time" for what in ("push", "claim", "finish", "all three")),
        "a push that waits",
    ]
