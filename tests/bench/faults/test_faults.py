"""Load with faults, on real processes: what is killed, and what the account says of it."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from bench.common.runs import read
from bench.faults.command import main
from bench.faults.place import PlaceError
from bench.faults.run import Planned, endure, schedule
from bench.faults.verdict import verdict
from bench.load.generator import Generator
from bench.load.plan import LoadPlan
from tests.fleet.local import Layout, local
from tests.processes import LoggedProcess, module
from tests.servers import valkey_binary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.fault

PATIENCE_S = 200.0
EVERYTHING = [Planned(0.5, "worker"), Planned(1.0, "server"), Planned(1.5, "worker"), Planned(2.0, "gateway")]


def test_schedule() -> None:
    planned = schedule(60, 3, servers=2, gateways=1, rng=random.Random(1))
    assert planned == sorted(planned)
    assert planned == schedule(60, 3, servers=2, gateways=1, rng=random.Random(1))
    assert [at_s for at_s, kind in planned if kind == "server"] == [15, 45]
    assert [at_s for at_s, kind in planned if kind == "gateway"] == [30]
    workers = [at_s for at_s, kind in planned if kind == "worker"]
    assert 13 <= len(workers) <= 40
    gaps = [late - early for early, late in zip([0.0, *workers], workers, strict=False)]
    assert all(1.5 <= gap <= 4.5 for gap in gaps)
    assert all(0 <= at_s < 60 for at_s, _ in planned)


def test_nothing_is_killed_where_nothing_is_to_be() -> None:
    assert schedule(1, 60, servers=0, gateways=0, rng=random.Random(1)) == []


def plan(url: str, load: str = "constant:20") -> LoadPlan:
    return LoadPlan(load, url, duration_s=3, process="deterministic", persist=True, timeout_s=PATIENCE_S)


async def endured(layout: Layout, planned: Sequence[Planned], load: str = "constant:20") -> tuple[Generator, list[str]]:
    """A run, and what is wrong in it."""
    async with local(layout) as place:
        generator = Generator(plan(place.url, load), place.sources)
        evidence = await endure(place, generator, planned, random.Random(1), PATIENCE_S)
        found = verdict(evidence)
        assert [event["what"] for event in evidence.run.events] == [one.what for one in evidence.faults]
        assert Counter(one.kind for one in evidence.faults) == Counter(kind for _, kind in planned)
    assert str(found).endswith("unexplained.") is not bool(found.wrong)
    return generator, found.wrong


@pytest.mark.slow
async def test_everything_is_killed_and_nothing_is_lost() -> None:
    generator, wrong = await endured(Layout(valkey_binary(), workers=2, service_s=0.05), EVERYTHING)
    assert wrong == []
    assert generator.account.outcomes == {"finished": 60}


@pytest.mark.slow
async def test_a_server_that_forgets_is_found_out() -> None:
    """Without an append-only file, what was acknowledged is lost with the server."""
    layout = Layout(valkey_binary(), workers=1, service_s=0.5, options=())
    generator, wrong = await endured(layout, [Planned(2.0, "server")], "constant:5")
    lost = generator.account.outcomes["lost"]
    assert lost
    assert any(line.startswith(f"{lost} jobs: lost: ") for line in wrong), wrong
    assert any("never were in the stream" in line for line in wrong), wrong


@pytest.mark.slow
async def test_what_does_not_come_back_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async with local(Layout(valkey_binary(), workers=1)) as place:
        monkeypatch.setitem(place._fleet._environment, "PORT", "none")
        generator = Generator(plan(place.url), place.sources)
        with pytest.raises(PlaceError, match="the gateway did not come back"):
            await endure(place, generator, [Planned(0.5, "gateway")], random.Random(1), PATIENCE_S)
    assert generator.interrupted


async def test_a_stream_that_is_in_use_is_left_alone() -> None:
    async with local(Layout(valkey_binary(), workers=0)) as place:
        first = Generator(LoadPlan("constant:5", place.url, duration_s=1, process="deterministic", push_only=True))
        await first.run()
        with pytest.raises(PlaceError, match="jobs of somebody else are under way: length 5, lag 5, pending 0"):
            await endure(place, Generator(plan(place.url)), [], random.Random(1), PATIENCE_S)


async def test_jobs_that_do_not_end_are_wrong() -> None:
    async with local(Layout(valkey_binary(), workers=0)) as place:
        generator = Generator(LoadPlan("constant:5", place.url, duration_s=1, process="deterministic", timeout_s=0.5))
        found = verdict(await endure(place, generator, [], random.Random(1), 0.5))
    assert found.wrong[0].startswith("5 jobs: lost: ")
    assert found.wrong[1] == "the stream is not empty: length 5, lag 5, pending 0, deferred 0"


def command(*arguments: str | Path) -> list[str]:
    return [*module("bench"), "faults", *map(str, arguments)]


@pytest.mark.slow
def test_command(tmp_path: Path) -> None:
    file = tmp_path / "run.json.gz"
    quick = ("--duration", "3", "--every", "1.5", "--workers", "2", "--server-kills", "1", "--service", "0.05")
    with LoggedProcess(command("constant:10", *quick, "--output", file), os.environ, tmp_path / "log") as process:
        assert process.reap(PATIENCE_S) == 0, process.text
    assert "Nothing is lost, duplicated or unexplained." in process.text
    assert "1 server, 1 gateway" in process.text
    run = read(file)
    assert set(run.jobs.outcome) == {"finished"}
    assert run.parameters["faults"]["every_s"] == 1.5
    assert any("the server was killed" in event["what"] for event in run.events)
    assert any("attempts for" in note for note in run.notes)


@pytest.mark.slow
def test_interrupted_it_still_accounts_for_what_was_sent(tmp_path: Path) -> None:
    file = tmp_path / "run.json.gz"
    arguments = ("--duration", "600", "--workers", "1", "--service", "0.01", "--output", file)
    with LoggedProcess(command(*arguments), os.environ, tmp_path / "log") as process:
        process.wait_for("sent ")
        process.send(signal.SIGINT)
        assert process.reap(PATIENCE_S) == 0, process.text
    assert "The run was interrupted" in " ".join(read(file).notes)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing:1",), "there is no load 'nothing'"),
        (("--every", "0"), "a number of more than 0 is needed, not '0'"),
        (("--workers", "0"), "a whole number from 1 to 100 is needed, not '0'"),
        (("--server-kills", "-1"), "a whole number of at least 0 is needed, not '-1'"),
        (("--server", "no-such-server"), "there is no program 'no-such-server'"),
    ],
)
def test_bad_arguments(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench faults", *arguments, "--output", str(tmp_path / "run.json.gz")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
