"""What is made of the figures: medians, ratios, tables."""

from __future__ import annotations

import json

from bench.peers.contenders import OTHER, OURS, Contender
from bench.peers.kinds import KINDS
from bench.peers.report import conditions, plain, spread, table
from bench.peers.venvs import REQUIREMENTS


def rounds(name: str, *figures: float) -> dict[Contender, list[dict[str, float]]]:
    """Of all contenders of a kind: ours have `figures`, one a round, and the others a tenth of them."""
    kind = KINDS[name]
    head = {"jobs": "jobs/s", "latency": "p50 ms"}[name]
    return {
        one: [{head: figure if one.library == OURS else figure / 10, "worker": 0.5} for figure in figures]
        for one in kind.contenders
    }


def test_spread_is_the_median_with_the_least_and_the_most() -> None:
    assert spread([3.0, 1.0, 2.0], ".1f") == "2.0 [1.0 - 3.0]"
    assert spread([0.3, 0.1, 0.2], ".0%") == "20%"


def test_table_has_ratios_first_and_the_best_on_top() -> None:
    title, head, first, second, *rest = table(KINDS["jobs"], rounds("jobs", 10_000, 30_000, 20_000)).splitlines()
    assert title.startswith("No-op jobs/s of one worker")
    assert head.split() == ["ours", "is", "times", "jobs/s", "worker"]
    assert first.split("  ")[-1].strip() == "leadtime (100 at once)"
    assert "20,000 [10,000 - 30,000]" in first
    assert second.split()[:4] == ["10.00", "[10.00", "-", "10.00]"]
    assert {line.split("  ")[-1].strip() for line in (first, second, *rest)} == {
        one.name for one in KINDS["jobs"].contenders
    }


def test_less_is_better_for_times() -> None:
    lines = table(KINDS["latency"], rounds("latency", 1.0)).splitlines()
    assert lines[-1].endswith("leadtime (10 at once)")


def test_ratios_are_taken_round_by_round() -> None:
    found = rounds("jobs", 10.0, 40.0, 90.0)
    peer = KINDS["jobs"].contenders[1]
    found[peer] = [{"jobs/s": figure, "worker": 0.5} for figure in (10.0, 20.0, 30.0)]
    [line] = [line for line in table(KINDS["jobs"], found).splitlines() if line.endswith(peer.name)]
    assert line.split()[:4] == ["2.00", "[1.00", "-", "3.00]"]


def test_conditions_say_what_was_measured_with() -> None:
    said = conditions("Valkey 9.1.2", 3, {OURS: {"arq": "0.28.0", "pip": "24"}, "saq": {"saq": "0.26.4"}})
    for words in ("Valkey 9.1.2", "rounds    3", "leadtime  arq 0.28.0\n", "saq 0.26.4", "Python", "cores"):
        assert words in f"{said}\n"


def test_json_holds_the_figures_of_all_rounds() -> None:
    found = {"jobs": rounds("jobs", 10.0, 40.0)}
    document = json.loads(json.dumps(plain(found)))
    assert document["jobs"]["leadtime (100 at once)"] == [
        {"jobs/s": 10.0, "worker": 0.5},
        {"jobs/s": 40.0, "worker": 0.5},
    ]


def test_one_of_each_kind_is_ours_and_others_are_not() -> None:
    for kind in KINDS.values():
        assert [one.library for one in kind.contenders if not one.members].count(OURS) == 1
        assert len({one.name for one in kind.contenders}) == len(kind.contenders) > 1


def test_another_checkout_is_measured_alone_beside_this_one() -> None:
    folder = REQUIREMENTS.parent
    for kind in KINDS.values():
        both = kind.beside(folder)
        for ours, other in zip(both[: len(both) // 2], both[len(both) // 2 :], strict=True):
            assert (ours.library, other.library, other.folder) == (OURS, OTHER, folder)
            assert (ours.arguments, ours.environment) == (other.arguments, other.environment)


def test_every_peer_has_pinned_requirements() -> None:
    libraries = {one.library for kind in KINDS.values() for one in kind.contenders}
    assert libraries == {
        OURS,
        "bare",
        "arq",
        "saq",
        "taskiq",
        "streaq",
        "celery",
        "fastapi-celery",
        "litserve",
        "bentoml",
    }
    for name in libraries - {OURS, "bare"}:
        lines = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        assert all("==" in line for line in lines if not line.startswith("#"))
