"""`python -m bench simulate` and `python -m bench plan`, as one calls them."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest

from bench.common.runs import read
from bench.reports.series import latencies
from bench.simulation import command, plan
from bench.simulation.comparison import Case, compare
from bench.simulation.named_rules import NAMED_RULES, find

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def called(*arguments: str) -> str:
        program, *rest = arguments
        monkeypatch.setattr("sys.argv", [program, *rest])
        {"simulate": command.main, "plan": plan.main}[program]()
        return capsys.readouterr().out

    return called


QUICK = ("--duration", "300", "--replications", "2", "--processes", "1")


def test_a_table_for_each_load_with_a_row_for_each_rule(call: Callable[..., str]) -> None:
    out = call("simulate", *QUICK, "--load", "ramping", "constant:1")
    assert re.search(r"^ramping, deterministic: 165 jobs in 300 s; medians of 2 runs$", out, re.MULTILINE)
    assert re.search(r"^constant:1, deterministic: 300 jobs", out, re.MULTILINE)
    for rule in ("clairvoyant", *NAMED_RULES):
        assert len(re.findall(rf"^  {rule} ", out, re.MULTILINE)) == 2
    assert re.search(r"^  clairvoyant .* 1\.00$", out, re.MULTILINE)


def test_the_json_has_all_runs_and_is_the_same_again(call: Callable[..., str], tmp_path: Path) -> None:
    arguments = (*QUICK, "--load", "spike", "--process", "poisson", "--startup", "lognormal:20,0.3", "--seed", "5")
    found = orjson.loads(call("simulate", *arguments, "--rule", "clairvoyant", "streams", "--json", "-"))
    call("simulate", *arguments, "--rule", "clairvoyant", "streams", "--json", str(tmp_path / "found.json"))
    assert orjson.loads((tmp_path / "found.json").read_bytes()) == found
    assert [row["rule"] for row in found] == ["clairvoyant", "streams"]
    for best, streams in zip(*(row["runs"] for row in found), strict=True):
        assert best["cost"] == 1.0
        assert streams["cost"] == pytest.approx(streams["pod_s"] / best["pod_s"])
    assert found[0]["runs"][0] != found[0]["runs"][1]


def test_a_rule_does_the_same_whoever_it_is_compared_with_and_wherever() -> None:
    case = Case("ramping", duration_s=200.0)
    alone = compare([case], ["streams"], range(3))
    among = compare([case, Case("spike", duration_s=200.0)], ["list-5", "streams"], range(3), processes=2)
    # Without the plan nobody knows a cost.
    for one, other in zip(alone[case, "streams"], among[case, "streams"], strict=True):
        assert replace(one, cost=0.0) == replace(other, cost=0.0)
        assert math.isnan(other.cost)


def test_the_files_of_runs_are_for_the_reports(call: Callable[..., str], tmp_path: Path) -> None:
    call("simulate", *QUICK, "--load", "spike", "--rule", "streams", "clairvoyant", "--runs", str(tmp_path / "runs"))
    streams = read(tmp_path / "runs" / "spike-streams.run.gz")
    assert (streams.kind, streams.name, streams.parameters["rule"]) == ("simulation", "spike streams", "streams")
    assert streams.pod_s is not None
    assert len(latencies(read(tmp_path / "runs" / "spike-clairvoyant.run.gz"))[1]) > 0


def test_a_picture_shows_the_forecast_beside_what_came(call: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    call("simulate", *QUICK, "--load", "spike", "--rule", "leadtime", "streams", "--plot", str(path))
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_trace_is_taken_whole_with_its_service_times(call: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("arrival_s,service_s\n1,3\n2.5,5\n1000,7\n")
    found = orjson.loads(call("simulate", "--load", f"trace:{path}", "--rule", "clairvoyant", "list-5", "--json", "-"))
    assert {(row["median"]["jobs"], row["median"]["duration_s"]) for row in found} == {(3, 1000.0)}


def test_who_is_told_the_rate_orders_for_it_before_the_first_job(call: Callable[..., str], tmp_path: Path) -> None:
    arguments = (*QUICK, "--load", "step:0,1@60", "--process", "poisson", "--rule", "leadtime", "leadtime-told")
    guessed, told = orjson.loads(call("simulate", *arguments, "--json", "-"))
    assert told["median"]["within"] > guessed["median"]["within"]
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival_s\n1\n")
    with pytest.raises(SystemExit):
        call("simulate", "--load", f"trace:{trace}", "--rule", "leadtime-told")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("simulate", "--load", "nonsense"), "there is no load 'nonsense'"),
        (("simulate", "--rule", "nonsense"), "there is no rule 'nonsense'"),
        (("simulate", "--startup", "0"), "'0' is none of"),
        (("simulate", "--load", "trace:/nowhere.csv"), "can't be read"),
        (("simulate", "--min", "3", "--max", "2"), "at least 3 and at most 2"),
        (("simulate", "--duration", "-1"), "a number of more than 0"),
        (("simulate", "--replications", "1.5"), "a whole number"),
        (("plan",), "--rate"),
        (("plan", "--rate", "nan"), "a number of more than 0"),
        (("plan", "--rate", "0.00001"), "no jobs"),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_a_sentence(
    call: Callable[..., str], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        call(*arguments)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_plan_says_what_to_expect_and_what_is_cheapest(call: Callable[..., str]) -> None:
    out = call("plan", "--rate", "0.5", "--hours", "0.3", "--replications", "1", "--slo", "12")
    for rule in NAMED_RULES:
        assert re.search(rf"^  {rule} ", out, re.MULTILINE)
    assert re.search(r"^  fixed-\d ", out, re.MULTILINE)
    assert re.search(r"^The cheapest with a p95 of at most 12 s: \S+, \d\.\d\d pod-hours an hour\.$", out, re.MULTILINE)


def test_a_plan_that_can_not_be_kept_says_so(call: Callable[..., str]) -> None:
    out = call("plan", "--rate", "0.5", "--hours", "0.1", "--replications", "1", "--slo", "1")
    assert "None keeps a p95 of 1 s" in out
    assert "fixed-" not in out


def test_the_smallest_number_of_pods_is_found() -> None:
    """One job a second of 5 s each, by the clock, needs five; what came before they were ready, a sixth to catch up."""
    case = Case("constant:1", duration_s=3600.0, maximum=20)
    assert plan.smallest_fixed(case, 6.0, [0]) == 6
    assert plan.smallest_fixed(case, 4.0, [0]) == 21


def test_fixed_rules_are_found_by_their_number() -> None:
    assert find("fixed-12").what == "always 12 pods"
    for name in ("fixed-", "fixed-x", "fixed--1", "fixed", ""):
        with pytest.raises(ValueError, match="there is no rule"):
            find(name)


def test_a_standby_takes_the_seldom_job_that_nobody_foresees() -> None:
    """One each 400 s by the clock, with a start of 100 s: without one each job waits for a start."""
    alone, with_one = (
        Case("constant:0.0025", duration_s=850.0, startup="100", maximum=3, standby=standby) for standby in (0, 1)
    )
    found = compare([alone, with_one], ["leadtime"], range(1))
    assert found[alone, "leadtime"][0].within == 0
    assert found[with_one, "leadtime"][0].within == 1


def test_a_standby_with_a_price_stands_by_from_when_it_is_known_to_be_worth_it() -> None:
    """It saves a late job of 60 pod-seconds each 400 s, which is 0.15 of a pod. The first one is late in any case."""
    cheap, dear = (
        Case("constant:0.0025", duration_s=1250.0, startup="100", maximum=3, standby=1, standby_price=price)
        for price in (0.01, 0.5)
    )
    found = compare([cheap, dear], ["leadtime"], range(1))
    assert found[dear, "leadtime"][0].within == 0
    assert found[cheap, "leadtime"][0].within >= 0.5
    assert found[cheap, "leadtime"][0].starts <= found[dear, "leadtime"][0].starts
