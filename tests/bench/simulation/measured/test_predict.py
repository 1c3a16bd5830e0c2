"""Runs of experiments beside what the simulator says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bench.common.runs import JobColumns, Run, Samples, write
from bench.experiments.configurations import FOLDER, find
from bench.simulation import named_rules
from bench.simulation.measured import predict

if TYPE_CHECKING:
    from pathlib import Path


def experiment(configuration: str = "direct", *, time_scale: float = 6.0, **parameters: Any) -> Run:
    """A run of jobs of 5 s that each took 6 s and came every 10 s for 10 minutes, divided by the scale."""
    arrived_s = [10 * n / time_scale for n in range(1, 60)]
    ended_s = [at_s + 6 / time_scale for at_s in arrived_s]
    count = len(arrived_s)
    setup = {
        "duration_s": 600.0, "process": "deterministic", "seed": 1, "poll_s": None, "time_scale": time_scale,
        "startup_s": 30.0, "service_s": 5.0, "hpa_sync_s": 2.5,
    }  # fmt: skip
    told = {"load": "constant:0.1", "configuration": configuration, "digest": "", "setup": setup}
    return Run(
        "load",
        f"constant:0.1, {configuration}",
        600 / time_scale,
        parameters={"experiment": told, "startups_s": [5.0, 6.0]} | parameters,
        jobs=JobColumns(
            arrived_s, [*arrived_s], [*arrived_s], [*arrived_s], [*ended_s], [*ended_s], ["finished"] * count,
            [202] * count, [1] * count, [None] * count,
        ),
        samples=Samples([0.0, 100.0], [0, 0], [0, 0], [1, 1], [0, 0], [1, 1], [0, 0], [None, None]),
    )  # fmt: skip


def rows(*runs: Run) -> list[dict[str, str]]:
    table = predict.predictions(runs, 3)
    return [dict(zip(table.head, row, strict=True)) for row in table.rows]


@pytest.mark.parametrize("configuration", predict.RULES)
def test_what_was_measured_stands_beside_what_was_foretold_at_a_scale_of_1(configuration: str) -> None:
    measured, simulated = rows(experiment(configuration))
    assert measured["run"] == f"constant:0.1, {configuration}"
    assert (measured["p50"], measured["in time"]) == ("6.00", "100 %")
    assert (measured["pod-seconds"], measured["most pods"]) == ("600", "1")
    assert (simulated["run"], simulated[""]) == ("", "simulated")
    # The jobs that came before the first worker was there wait; then one worker does.
    assert simulated["p50"] == "5.00"
    assert 30 < float(simulated["p99"]) < 75


def test_the_start_ups_that_were_seen_decide() -> None:
    fast, slow = predict.prediction(experiment(), 0), predict.prediction(experiment(startups_s=[50.0]), 0)
    assert slow.percentile_s(99) > fast.percentile_s(99) + 200
    assert fast.percentile_s(99) == predict.prediction(experiment(), 0).percentile_s(99)


def test_each_configuration_that_is_shipped_has_its_rule() -> None:
    assert {one.name for one in find(FOLDER)} == set(predict.RULES)
    assert set(predict.RULES.values()) <= set(named_rules.NAMED_RULES)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (experiment("of my own"), "no rule of the simulator"),
        (experiment(startups_s=[]), "no worker was seen to start"),
        (Run("load", "another", 10.0), "no run of an experiment"),
        (None, "is not the file of a run"),
    ],
)
def test_what_can_not_be_predicted_is_said_in_one_sentence(
    run: Run | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "one.json.gz"
    if run is None:
        path.write_bytes(b"no run")
    else:
        write(run, path)
    monkeypatch.setattr("sys.argv", ["predict", str(path)])
    with pytest.raises(SystemExit) as end:
        predict.main()
    assert end.value.code == 2
    assert words in capsys.readouterr().err
