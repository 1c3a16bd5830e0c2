"""The measurement of batches, tiny: that it measures what it says. A real server and real workers."""

from __future__ import annotations

import sys

import pytest

from bench import batches


async def test_the_rate_is_at_most_what_the_model_allows() -> None:
    load = batches.BatchLoad(jobs=9, size=3, call_s=0.05, input_s=0.001)

    assert 0 < await batches.rate(load) < load.ideal_rate * 9 / 8  # the server's times are whole milliseconds


@pytest.mark.slow
def test_command_prints_a_line_for_each_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench batches", *["--jobs", "8", "--size", "4", "--call", "0.05"]])

    batches.main()

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["1", "2"], ["4", "8"]]
