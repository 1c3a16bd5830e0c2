"""The measurement of objects, tiny: that each file has come back and none is left. Real processes."""

from __future__ import annotations

import sys

import pytest

from bench import objects


@pytest.mark.slow
def test_command_prints_what_files_cost_and_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(objects, "_KEEP_S", 2)
    arguments = ["--jobs", "4", "--megabytes", "1", "--clients", "2", "--concurrency", "1"]
    monkeypatch.setattr(sys, "argv", ["bench objects", *arguments])

    objects.main()

    jobs, moved, memory, left = capsys.readouterr().out.splitlines()[:4]
    assert jobs.startswith("4 jobs with 1 MB in and out: ")
    assert moved.startswith("4 MB each way in ")
    assert memory.startswith("most memory: gateway ")
    assert left == "a sweep deleted 8 objects and left 0"
