"""Jobs that share one process and its event loop: each has its own result, events, cancel and time-out."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.workers.model_host.tools import ONE_LOOP, PATIENCE_S, at_once, begun, do, eventually, make, running, told
from workers.model_host.errors import ModelNotFound, ModelRaised, ModelTimedOut
from workers.model_host.protocol.job_at_hand import JobAtHand

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workers.model_host.tools import Run

pytestmark = ONE_LOOP

MODELS = "tests.workers.model_host.sharing.sharers"
SHARER = f"{MODELS}:Sharer"


@pytest.mark.parametrize("is_forked", [False, True], ids=["started", "forked"])
def test_twenty_jobs_are_in_one_process_at_the_same_time_and_each_knows_itself(run: Run, is_forked: bool) -> None:
    async def scenario() -> None:
        async with running(make(SHARER, is_forked=is_forked)) as host, asyncio.timeout(PATIENCE_S):
            assert (host.max_concurrency, host.batch_size) == (20, 1)
            ids = [f"job-{number}" for number in range(20)]
            calls = [host.predict(b'["meets", 20]', job=JobAtHand(job_id, 1)) for job_id in ids]
            met = [orjson.loads(answer) for answer in await asyncio.gather(*calls)]
            assert [job_id for _, job_id in met] == ids
            assert len({pid for pid, _ in met}) == 1

            values = [{"number": number, "big": "x" * (number % 7 * 20_000)} for number in range(100)]
            assert await at_once(host, *(["echo", value] for value in values)) == values
            assert await do(host, "most_at_once") == 20

    run(scenario())


def test_jobs_go_to_the_process_with_the_fewest(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        rooms: list[int] = []
        async with running(make(SHARER, size=2, on_room=rooms.append)) as host:
            await eventually(lambda: host.count == 2)
            jobs = [begun(host, "waits", str(tmp_path / str(n)), str(tmp_path / "until")) for n in range(4)]
            pids = [await told(tmp_path / str(n)) for n in range(4)]
            assert {pids.count(pid) for pid in pids} == {2}
            (tmp_path / "until").touch()
            await asyncio.gather(*jobs)
            assert rooms == [20, 40]

    run(scenario())


def test_a_failure_a_cancel_and_a_time_out_are_of_one_job_only(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(make(SHARER)) as host, asyncio.timeout(PATIENCE_S):
            until = tmp_path / "until"
            bystanders = [begun(host, "waits", str(tmp_path / f"pid-{n}"), str(until)) for n in range(3)]
            pid = await told(tmp_path / "pid-2")

            with pytest.raises(ModelRaised, match=r"^LookupError: no such thing$"):
                await do(host, "fails", "no such thing")
            cancelled = [begun(host, "waits", str(tmp_path / "cancelled")), begun(host, "pid")]
            cancelled.append(begun(host, "watches", str(tmp_path / "watched")))
            await told(tmp_path / "cancelled")
            await told(tmp_path / "watched")
            cancelled.append(begun(host, "pid"))  # has not begun
            await asyncio.sleep(0)
            for job in cancelled:
                job.cancel()
            await asyncio.wait(cancelled)
            await told(tmp_path / "watched-seen")
            with pytest.raises(ModelTimedOut, match=r"longer than 0\.1 s"):
                await do(host, "waits", str(tmp_path / "late"), timeout_s=0.1)

            assert await do(host, "pid") == pid
            until.touch()
            assert await asyncio.gather(*bystanders) == [orjson.dumps(str(until))] * 3

    run(scenario())


def test_what_two_generators_tell_goes_to_their_own_jobs(run: Run) -> None:
    async def scenario() -> None:
        events: dict[str, list[tuple[str, Any]]] = {"a": [], "b": []}

        def hear(name: str, kind: str, value: bytes) -> None:
            events[name].append((kind, orjson.loads(value)))

        async with running(make(SHARER)) as host, asyncio.timeout(PATIENCE_S):
            calls = [
                host.predict(orjson.dumps(["tells", name, 50]), job=JobAtHand(f"job-{name}", 1, partial(hear, name)))
                for name in events
            ]
            answers = [orjson.loads(answer) for answer in await asyncio.gather(*calls)]
        for name, answer in zip(events, answers, strict=True):
            assert answer == [f"{name} {number}" for number in range(50)]
            assert events[name] == [
                event
                for number in range(50)
                for event in (("log", f"{name} of job-{name}"), ("partial", f"{name} {number}"))
            ]

    run(scenario())


def test_predict_may_be_an_async_generator(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:Streaming")) as host:
            assert await at_once(host, *"abcd") == [f"{name}0 {name}1 {name}2 " for name in "abcd"]

    run(scenario())


@pytest.mark.parametrize(("model", "setting", "most"), [("Sharer", 3, 3), ("Sharer", 1, 1), ("SharerOfOne", 4, 4)])
def test_the_setting_goes_before_what_the_class_says(run: Run, model: str, setting: int, most: int) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:{model}", max_concurrency=setting)) as host:
            assert host.max_concurrency == most
            await at_once(host, *[["meets", most]] * 9)
            assert await do(host, "most_at_once") == most

    run(scenario())


def test_the_setting_has_no_effect_on_a_model_that_is_not_async(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with running(make(max_concurrency=20)) as host:
            assert host.max_concurrency == 1
            assert await at_once(host, ["echo", 1], ["echo", 2]) == [1, 2]

    run(scenario())
    assert "MODEL_MAX_CONCURRENCY has no effect" in caplog.text


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (
            "SyncSharer",
            "max_concurrency is 20, but predict is not async: only an async predict runs several jobs at once",
        ),
        ("SharerTogether", "max_concurrency is 20, but the model has predict_batch: "),
        ("WrongNumber", "max_concurrency must be a whole number from 1 to 1000, and is 'many'"),
    ],
)
def test_what_can_not_be_shared_is_refused(run: Run, model: str, why: str) -> None:
    async def scenario() -> None:
        with pytest.raises(ModelNotFound, match=why):
            await make(f"{MODELS}:{model}").run()

    run(scenario())


def test_a_job_that_is_to_be_alone_has_the_process_for_itself(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        rooms: list[int] = []
        async with running(make(SHARER, on_room=rooms.append)) as host, asyncio.timeout(PATIENCE_S):
            first = begun(host, "waits", str(tmp_path / "pid"), str(tmp_path / "until"))
            await told(tmp_path / "pid")
            script = orjson.dumps(["waits", str(tmp_path / "alone"), str(tmp_path / "until")])
            alone = asyncio.create_task(host.predict(script, alone=True))
            late = begun(host, "most_at_once")
            await eventually(lambda: rooms[-1] < 20)
            assert not (tmp_path / "alone").exists()
            (tmp_path / "until").touch()
            await asyncio.gather(first, alone)
            assert await late == b"1"
            assert rooms[-1] == 20

    run(scenario())


def test_a_process_has_its_number_of_jobs_and_is_asked_for_its_health_only_when_it_is_idle(run: Run) -> None:
    async def scenario() -> None:
        rooms: list[int] = []
        async with running(make(f"{MODELS}:Checked", max_jobs=4, health_s=0.01, on_room=rooms.append)) as host:
            pids = await at_once(host, *[["pid"]] * 9)
            assert max(pids.count(pid) for pid in pids) == max(rooms) == 4
            async with asyncio.timeout(PATIENCE_S):
                while not (asked := await do(host, "when_asked")):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert set(asked) == {0}

    run(scenario())
