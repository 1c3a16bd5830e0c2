"""The measurement of growth, tiny: that it measures what it says, and judges by its rule. Real servers."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from bench.common.processes import BenchError
from bench.growth import command
from bench.growth.cells import Axis, Ids, cell
from bench.growth.cycle import BY_DESIGN, CONTROL, OPERATIONS, cycle
from bench.growth.measure import Found, Sizes, measure
from bench.growth.meter import Cost, Meter, midmean
from bench.growth.plot import plot
from bench.growth.report import defects, plain, table, verdicts
from bench.growth.verdict import FASTER, FLAT, LOGARITHMIC, judge
from bench.growth.wakeups import Pace, Wakeups, pace, wakeups
from bench.peers.report import machine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SERVERS = ["valkey", *(["redis-server"] if shutil.which("redis-server") else [])]
TINY = Sizes(rounds=2, cycles=2, pushes=3, pace_s=0.2)
WAITING = Axis("waiting", "waiting jobs", (0, 40), idles=False)
DEFERRED = Axis("deferred", "deferred jobs", (0, 40), idles=True)
IDLE = Axis("idle", "idle workers", (1, 4), idles=True)
BUSY = Axis("busy", "busy workers", (1, 4), idles=True)


def steady(at: Callable[[int], float], sizes: tuple[int, ...], noise: float = 0.0) -> dict[int, list[float]]:
    """Five rounds' costs as a function of the size says, each off by up to `noise` of it."""
    return {size: [at(size) * (1 + noise * off) for off in (-1.0, -0.5, 0.0, 0.5, 1.0)] for size in sizes}


JOBS = (0, 10_000, 100_000, 1_000_000)
WORKERS = (1, 10, 100, 1000)


@pytest.mark.parametrize(
    ("at", "sizes", "word"),
    [
        (lambda _n: 20.0, JOBS, FLAT),
        (lambda n: 20.0 + 2e-6 * n, JOBS, FLAT),
        (lambda n: 20.0 + 4 * len(str(n)), JOBS, LOGARITHMIC),
        (lambda n: 20.0 + 4 * len(str(n)), WORKERS, LOGARITHMIC),
        (lambda n: 20.0 + 1e-5 * n, JOBS, FASTER),
        (lambda n: 20.0 + 0.02 * n**0.5, JOBS, FASTER),
        (lambda n: 20.0 + 0.01 * n, WORKERS, FASTER),
        (lambda n: 20.0 + 0.4 * n, WORKERS, FASTER),
        (lambda n: 20.0 + 1e-9 * n**2, JOBS, FASTER),
    ],
)
def test_verdict(at: Callable[[int], float], sizes: tuple[int, ...], word: str) -> None:
    even = steady(lambda _n: 5.0, sizes)
    verdict = judge(steady(at, sizes, noise=0.02), even)
    assert verdict.word == word
    assert verdict.ratios[0].median == 1
    assert verdict.ratios[-1].median == pytest.approx(at(sizes[-1]) / at(sizes[0]))


def test_allowance_follows_the_noise_and_the_control() -> None:
    even = steady(lambda _n: 5.0, WORKERS)
    assert judge(even, even).allowance == 0.25
    costs = {size: [20.0, 20.0, 20.0] for size in WORKERS} | {1000: [18.0, 28.0, 38.0]}
    noisy = judge(costs, even)
    assert noisy.word == FLAT
    assert noisy.allowance == pytest.approx(1.5)
    grown = steady(lambda n: 5.0 + n * 0.002, WORKERS)
    assert judge(grown, even).word == FASTER
    assert judge(grown, grown).word == FLAT, "what the control grows by is the machine's"


def test_midmean_is_blind_to_what_was_interrupted() -> None:
    assert midmean([10.0, 11.0, 11.0, 10.0, 900.0, 10.0, 11.0, 0.0]) == 10.5
    assert midmean([3.0]) == 3.0


def test_ids_are_those_that_were_not_dropped() -> None:
    ids = Ids("waiting")
    made = [ids.new() for _ in range(50)]
    assert len(set(made)) == 50
    assert {len(one) for one in made} == {32}, "as long as a gateway's"
    for one in made[:20] + made[30:]:
        ids.drop(one)
    assert {ids.some() for _ in range(500)} == set(made[20:30])
    assert Ids("deferred").new() not in made


@pytest.mark.parametrize("server_name", SERVERS)
@pytest.mark.parametrize("axis", [WAITING, DEFERRED, IDLE, BUSY], ids=lambda axis: axis.name)
async def test_cycles_leave_the_queue_as_it_was(server_name: str, axis: Axis) -> None:
    async with cell(axis, axis.sizes[-1], server_name) as made:
        before = await made.stream.counts()
        for _ in range(3):
            await cycle(made)
        assert await made.stream.counts() == before
        costs = made.meter.take()
        assert set(costs) <= set(OPERATIONS)
        assert {"push", "status", "claim", "finish", CONTROL} <= set(costs)
        assert all(cost.server_us > 0 and cost.round_trip_us > cost.server_us for cost in costs.values())
        assert made.meter.take() == {}


async def test_sizes_are_what_they_are_called() -> None:
    async with cell(WAITING, 40, "valkey") as made:
        assert (await made.stream.counts()).waiting == 40
    async with cell(DEFERRED, 40, "valkey") as made:
        assert (await made.stream.counts()).deferred == 40
    async with cell(BUSY, 4, "valkey") as made:
        counts = await made.stream.counts()
        assert (counts.pending, counts.workers, counts.idle_workers) == (4, 5, 1)
    async with cell(IDLE, 4, "valkey") as made:
        counts = await made.stream.counts()
        assert (counts.length, counts.workers, counts.idle_workers) == (0, 4, 4)


@pytest.mark.parametrize("server_name", SERVERS)
async def test_one_push_wakes_one_of_many_idle_workers(server_name: str) -> None:
    async with cell(IDLE, 20, server_name) as made:
        found = await wakeups(made, pushes=10)
        assert (found.woken, found.calls) == (1, 4), "woken: one; calls: push, claim, finish, and a look for more"
        assert found.start_us > 0
        going = await pace(made, 0.5)
        assert going.calls_per_s > 0
        assert (await made.stream.counts()).idle_workers == 20


async def test_calls_of_others_are_noticed() -> None:
    async with cell(WAITING, 0, "valkey") as made:

        async def twice() -> None:
            await made.stream.counts()
            await made.stream.counts()

        with pytest.raises(BenchError, match="scrape: 2 calls reached the server"):
            await made.meter.time("scrape", twice)


async def test_muted_calls_do_not_count() -> None:
    async with cell(WAITING, 0, "valkey") as made:
        meter = Meter(made.server.url)
        meter.muted = True
        await meter.time("scrape", made.stream.counts)
        assert meter.take() == {}
        await meter.close()


async def test_all_sizes_of_an_axis_are_measured_in_each_round() -> None:
    found = await measure(IDLE, "valkey", TINY)
    assert found.server.startswith("Valkey ")
    for by_size in found.costs.values():
        assert {size: len(rounds) for size, rounds in by_size.items()} == {1: 2, 4: 2}
    assert {size: [one.woken for one in rounds] for size, rounds in found.wakeups.items()} == {1: [1, 1], 4: [1, 1]}
    assert {size: len(rounds) for size, rounds in found.pace.items()} == {1: 2, 4: 2}


def figures(at: Callable[[int], float], axis: Axis = IDLE) -> Found:
    """Costs of a sweep as a function of the size says, and all else flat."""
    found = Found(axis, "Valkey 9.1.2")
    for operation in OPERATIONS:
        found.costs[operation] = {
            size: [Cost(10 * (at(size) if operation == "sweep" else 1.0), 100.0)] * 3 for size in axis.sizes
        }
    if axis is IDLE:
        found.wakeups = {size: [Wakeups(1, 4, 300)] * 3 for size in axis.sizes}
        found.pace = {size: [Pace(0.05, 1200)] * 3 for size in axis.sizes}
    return found


def test_what_grows_faster_comes_first_and_what_must_is_none() -> None:
    assert defects([figures(lambda _n: 1.0)]) == []
    bad = figures(float)
    assert verdicts(bad)["sweep"].word == FASTER
    assert defects([bad]) == ["sweep with the number of idle workers"]
    busy = figures(float, BUSY)
    assert ("busy", "sweep") in BY_DESIGN
    assert defects([busy]) == []
    lines = table([bad, busy], machine(), TINY).splitlines()
    assert lines[0] == "Grows faster than the logarithm: sweep with the number of idle workers"
    text = "\n".join(lines)
    assert BY_DESIGN["busy", "sweep"] in text
    for word in ("Idle workers", "4.00 [4.00 - 4.00]", "1,200", "Valkey 9.1.2", "cores", *OPERATIONS):
        assert word in text


def test_json_and_plot(tmp_path: Path) -> None:
    found = [figures(float), figures(lambda _n: 1.0, WAITING)]
    document = json.loads(json.dumps(plain(found, machine(), TINY)))
    assert document["defects"] == ["sweep with the number of idle workers"]
    assert document["axes"][0]["verdicts"]["push"]["word"] == FLAT
    assert document["axes"][0]["costs"]["sweep"]["4"][0] == {"server_us": 40.0, "round_trip_us": 100.0}
    plot(found, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_command_writes_its_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "AXES", (WAITING, IDLE))
    monkeypatch.setattr(command, "QUICK", TINY)
    arguments = ["--quick", "--only", "waiting", "--rounds", "1", "--out", str(tmp_path / "made" / "here")]
    monkeypatch.setattr(sys, "argv", ["bench growth", *arguments])
    command.main()
    made = tmp_path / "made" / "here"
    assert sorted(path.name for path in made.iterdir()) == ["growth-valkey.json", "growth-valkey.png"]
    assert "Waiting jobs" in capsys.readouterr().out


def test_what_can_not_be_measured_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        sys, "argv", ["bench growth", "--quick", "--server", "nothing-of-that-name", "--out", str(tmp_path)]
    )
    with pytest.raises(SystemExit, match="bench: there is no program"):
        command.main()
