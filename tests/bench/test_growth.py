"""The measurement of growth, tiny: that it measures what it says. Real servers."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from bench import growth
from bench.common import server
from bench.common.processes import BenchError

if TYPE_CHECKING:
    from pathlib import Path

SERVERS = ["valkey", *(["redis-server"] if shutil.which("redis-server") else [])]


@pytest.mark.parametrize("server_name", SERVERS)
@pytest.mark.parametrize("size", [{}, {"waiting": 40}, {"deferred": 40}, {"idle": 5}], ids=repr)
async def test_cycles_leave_the_queue_as_it_was(server_name: str, size: dict[str, int]) -> None:
    with server.running(server_name) as running:
        queue = growth.GrowthQueue(running.url, **size)
        await queue.fill()
        before = await queue._stream.counts()

        for _ in range(3):
            await queue.cycle()

        assert await queue._stream.counts() == before
        assert (before.waiting, before.deferred, before.idle_workers) == queue.counts
        assert set(queue.costs_us) == set(growth.CALLS)
        assert all(len(costs_us) == 3 for costs_us in queue.costs_us.values())
        await queue.close()


async def test_calls_of_others_are_noticed() -> None:
    with server.running("valkey") as running:
        queue = growth.GrowthQueue(running.url)
        await queue.fill()

        async def twice() -> None:
            await queue._stream.counts()
            await queue._stream.counts()

        with pytest.raises(BenchError, match="status: 2 calls reached the server"):
            await queue._timed("status", twice)
        await queue.close()


def test_midmean_is_blind_to_what_was_interrupted() -> None:
    assert growth.midmean([10.0, 11.0, 11.0, 10.0, 900.0, 10.0, 11.0, 0.0]) == 10.5
    assert growth.midmean([3.0]) == 3.0


def test_ratios_are_taken_round_by_round() -> None:
    rounds = {
        "nothing": [10.0, 20.0, 40.0], "9 waiting": [11.0, 44.0, 60.0], "9 deferred": [10.0, 20.0, 40.0],
        "1 idle worker": [30.0, 30.0, 30.0], "9 idle workers": [30.0, 60.0, 90.0],
    }  # fmt: skip

    head, row = growth.table({"push": rounds}).splitlines()

    assert row.split() == ["push", "20", "1.50", "1.00", "30", "2.00"]
    assert head.split("  ")[0] == "server's time for"


def test_command_prints_its_table_and_writes_its_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "growth.json"
    arguments = ["--jobs", "30", "--workers", "3", "--rounds", "2", "--cycles", "2", "--output", str(file)]
    monkeypatch.setattr(sys, "argv", ["bench growth", *arguments])

    growth.main()

    printed = capsys.readouterr().out
    for words in ("30 waiting", "30 deferred", "1 idle worker", "3 idle workers", *growth.CALLS):
        assert words in printed
    found = json.loads(file.read_text())["microseconds"]
    assert {len(rounds) for by in found.values() for rounds in by.values()} == {2}


def test_what_can_not_be_measured_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench growth", "--server", "nothing-of-that-name"])
    with pytest.raises(SystemExit, match="bench growth: there is no program"):
        growth.main()
