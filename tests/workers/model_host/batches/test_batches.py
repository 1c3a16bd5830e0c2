"""Jobs that are run in one call of `predict_batch`: how many there are in a call, and whose result each gets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.workers.model_host.tools import MEGABYTE, ONE_LOOP, at_once, do, make, running, told
from workers.model_host.errors import ModelCrashed, ModelNotFound, ModelRaised

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workers.model_host.tools import Run
    from workers.model_host.protocol.description import Description

pytestmark = ONE_LOOP

MODELS = "tests.workers.model_host.together"
TOGETHER = f"{MODELS}:Together"
COUNT = ["count"]


@pytest.mark.parametrize("model", ["Together", "BothWays", "AsyncTogether"])
def test_each_job_of_a_batch_gets_its_own_result(run: Run, model: str) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:{model}", size=2)) as host:
            assert await at_once(host, COUNT, ["count", 2], COUNT, COUNT) == [4, 4, 4, 4]
            for count in (2, 3, 4, 7, 23):
                values = [{"number": number, "of": count, "big": 10**30 + number} for number in range(count)]
                assert await at_once(host, *(["echo", value] for value in values)) == values

    run(scenario())


@pytest.mark.usefixtures("is_forked")
def test_a_job_that_comes_alone_does_not_wait_for_others(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TOGETHER)) as host:
            assert await do(host, "count") == 1
            assert await do(host, "echo", "a") == "a"
            with pytest.raises(ModelRaised, match="LookupError: no such thing"):
                await do(host, "fail", "no such thing")

    run(scenario())


def test_a_single_job_goes_to_predict_if_there_is_one(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:BothWays")) as host:
            assert await do(host, "count") == ["alone", ["count"]]
            assert await at_once(host, COUNT, COUNT) == [2, 2]
            assert await at_once(host, ["call_fails", "all"], COUNT) == [
                ["alone", ["call_fails", "all"]],
                ["alone", COUNT],
            ]

    run(scenario())


def test_a_smaller_batch_waits_for_more_jobs_only_if_the_model_or_the_setting_says_so(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:Unhurried")) as host:
            early = [asyncio.create_task(host.predict(b'["count"]')) for _ in range(3)]
            await asyncio.wait(early, timeout=0.1)
            assert not any(task.done() for task in early)
            assert await do(host, "count") == 4
            assert [await task for task in early] == [b"4"] * 3
        async with running(make(f"{MODELS}:Unhurried", max_batch_wait_s=0)) as host:
            assert await do(host, "count") == 1
        async with running(make(TOGETHER, max_batch_wait_s=0.01)) as host:
            assert await at_once(host, COUNT, COUNT) == [2, 2]

    run(scenario())


@pytest.mark.parametrize(("size", "sizes"), [(0, [4, 4, 1]), (1, [1] * 9), (2, [2, 2, 2, 2, 1]), (9, [9])])
def test_the_setting_of_the_size_goes_before_the_models_own(run: Run, size: int, sizes: list[int]) -> None:
    async def scenario() -> None:
        async with running(make(TOGETHER, max_batch_size=size)) as host:
            assert await at_once(host, *[COUNT] * 9) == [count for count in sizes for _ in range(count)]

    run(scenario())


def test_a_model_without_a_size_gets_eight_inputs_and_one_without_predict_batch_one(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:Doubles")) as host:
            assert host.batch_size == 8
        async with running(make(max_batch_size=20)) as host:
            assert host.batch_size == 1
            assert await at_once(host, ["echo", 1], ["echo", 2]) == [1, 2]

    run(scenario())
    assert "MODEL_MAX_BATCH_SIZE has no effect: the model has no method predict_batch" in caplog.text


def test_results_may_be_as_long_together_as_each_may_be_alone(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TOGETHER)) as host:
            size = MEGABYTE - 2
            assert await at_once(host, *[["long", size]] * 3, COUNT) == ["x" * size] * 3 + [4]

    run(scenario())


def test_what_the_items_are_annotated_with_is_what_clients_may_push(run: Run) -> None:
    async def scenario() -> None:
        told: list[Description] = []
        async with running(make(f"{MODELS}:Doubles", on_described=told.append)):
            (description,) = told
            assert description.warnings == []
            schema = orjson.loads(description.schema)
            assert schema["input"] == {"type": "integer"}
            assert schema.keys() == {"accepts", "input"}

    run(scenario())


def test_a_job_that_is_to_be_alone_is_in_no_batch(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TOGETHER)) as host:
            calls = [host.predict(b'["count"]', alone=number == 2) for number in range(5)]
            assert await asyncio.gather(*calls) == [b"2", b"2", b"1", b"2", b"2"]

    run(scenario())


def test_batches_end_with_their_host(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        file = tmp_path / "pid"
        host = make(TOGETHER)
        async with running(host):
            script = orjson.dumps(["call_hangs", str(file)])
            tasks = [asyncio.create_task(host.predict(script)) for _ in range(2)]
            await told(file)
        for task in tasks:
            with pytest.raises(ModelCrashed, match="the model's process"):
                await task
        with pytest.raises(ModelCrashed, match="have been stopped"):
            await host.predict(script)

    run(scenario())


def test_a_process_has_its_number_of_jobs_also_if_they_come_in_batches(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TOGETHER, max_jobs=4)) as host:
            pid = await do(host, "pid")
            assert await at_once(host, *[["pid"]] * 4) == [pid] * 4
            assert await do(host, "pid") != pid

    run(scenario())


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("TwoLists", "predict_batch takes one argument, the list of inputs: def predict_batch(self, inputs: list)"),
        ("NoList", "the parameter inputs of predict_batch gets a list of inputs: annotate it with a list"),
        ("WrongSize", "max_batch_size must be a whole number from 1 to 1000, and is 'many'"),
        ("WrongWait", "max_batch_wait_s must be a number of seconds, 0 or more, and is -1"),
    ],
)
def test_what_can_not_be_served_is_said_in_one_sentence(run: Run, model: str, sentence: str) -> None:
    async def scenario() -> None:
        with pytest.raises(ModelNotFound) as error:
            await make(f"{MODELS}:{model}").run()
        assert sentence in str(error.value)

    run(scenario())
