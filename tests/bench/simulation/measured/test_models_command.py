"""Several models on a cluster beside the simulator: what is asked, and what is made of the samples."""

from __future__ import annotations

from dataclasses import fields

import pytest

from bench.common.runs import JobColumns, Run, Samples
from bench.experiments.models import MeasuredModel, ModelsPlan, pods_at_last, until
from bench.experiments.stage import forget
from bench.simulation.measured import models_command
from bench.simulation.measured.models_prediction import comparison, differences, measured, predicted
from workers.scaler.models.models_file import ModelsFile

FILE = ModelsFile.model_validate(
    {"budget": {"pods": 3}, "models": [{"queue": name, "deployment": f"leadtime-{name}"} for name in ("slow", "quick")]}
)
PLAN = ModelsPlan({"slow": "constant:0.1", "quick": "constant:0.1"}, 60.0, "deterministic", 1, "http://127.0.0.1:1")


def samples(*ready: int | None) -> Samples:
    """One a second."""
    count = len(ready)
    none: list[int | None] = [None] * count
    zero = [0 if each is not None else None for each in ready]
    times_s = [float(second) for second in range(count)]
    return Samples(times_s, none, none, none, zero, list(ready), zero, list(none), list(none))


def model_run(number: int, gone_s: float | None = 9.0) -> MeasuredModel:
    """Six jobs, of which each took 6 s, by a pod that was there for 60 s."""
    arrived_s = [10.0 * n for n in range(1, 7)]
    ended_s = [at_s + 6 for at_s in arrived_s]
    jobs = JobColumns(
        arrived_s, [*arrived_s], [*arrived_s], [*arrived_s], [*ended_s], [*ended_s], ["finished"] * 6, [202] * 6,
        [1] * 6, [None] * 6,
    )  # fmt: skip
    run = Run("load", FILE.models[number].queue, 60.0, jobs=jobs, samples=samples(*[1] * 61))
    return MeasuredModel(FILE.models[number], run, [5.0, 6.0], gone_s)


def test_pods_count_until_the_last_job_has_ended() -> None:
    seen = samples(0, 2, 2, 1, 0)
    assert until(seen, 2.5).ready == [0, 2, 2]
    assert pods_at_last(seen) == 0
    assert pods_at_last(samples(1, None)) is None
    assert pods_at_last(Samples()) is None


def test_looks_are_added_by_their_time_though_one_may_be_missing() -> None:
    """A pod goes from one model to the other: there are never three."""
    first, second = model_run(0), model_run(1)
    first.run.samples = samples(2, 2, 1, 1)
    seen = samples(0, 0, 1, 1)
    columns = [getattr(seen, column.name) for column in fields(Samples)]
    second.run.samples = Samples(*[[*column[:1], *column[2:]] for column in columns])
    assert models_command.most_pods([first, second]) == 2
    second.run.samples = samples(0, None, 1, 3)
    assert models_command.most_pods([first, second]) == 4


def test_a_model_is_sent_the_load_that_the_simulator_has() -> None:
    plan = PLAN.of(FILE.models[1], 1)
    assert (plan.queue, plan.load, plan.seed, plan.duration_s) == ("quick", "constant:0.1", 2, 60.0)


def test_what_is_forgotten_is_of_one_queue() -> None:
    assert "StreamSettings(**{'queue_name': 'slow'})" in forget("slow")
    assert "StreamSettings(**{})" in forget()


def test_measured_stands_beside_simulated() -> None:
    found = [model_run(0), model_run(1)]
    said = predicted(found, FILE, PLAN)
    seen = measured(found[0])
    assert (seen.jobs, seen.within, seen.pod_s, seen.starts, seen.peak) == (6, 1.0, 60.0, 2, 1)
    in_time, pod_s = differences(seen, said["slow"])
    assert in_time >= 0
    assert pod_s == pytest.approx((60 - said["slow"].pod_s) / said["slow"].pod_s)
    table = comparison(found, said)
    assert [row[:2] for row in table.rows] == [
        [queue, word] if word == "measured" else ["", word]
        for queue in ("slow", "quick")
        for word in ("measured", "simulated", "differs by")
    ]


@pytest.mark.parametrize(("gone_s", "most", "code"), [(9.0, 1e9, 0), (None, 1e9, 1), (9.0, 1e-9, 1)])
def test_what_differs_or_stays_is_a_fault(
    gone_s: float | None, most: float, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert models_command.report([model_run(0), model_run(1, gone_s)], FILE, PLAN, most) == code
    out = capsys.readouterr().out
    assert "most pods of all models at one time: 2 of 3" in out
    assert ("quick: its pods have not come and gone" in out) is (gone_s is None)
    assert ("the number of pod-seconds differs by" in out) is (most < 1)
