"""Models whose `predict` yields: what becomes of it, its bounds, and how a generator ends."""

from __future__ import annotations

import asyncio
import collections.abc
import typing
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.workers.model_host.calls.notes import noted
from tests.workers.model_host.tools import ONE_LOOP, do, gone, make, running, told
from workers.model_host.calls.outputs.yielded import yields_text
from workers.model_host.errors import ModelRaised, ModelTimedOut
from workers.model_host.protocol.job_at_hand import JobAtHand
from workers.wire.result import EncodedResult

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workers.model_host.tools import Run, TimeLimit

YIELDING = "tests.workers.model_host.calls.outputs.yielding"
CHATTY = f"{YIELDING}:Chatty"
LONG_S = 30.0


@ONE_LOOP
def test_what_a_generator_yields_is_a_list(run: Run) -> None:
    values = [1, "two", None, [3.5], {"input": "text"}, 10**40]

    async def scenario() -> None:
        async with running(make(CHATTY)) as host:
            for script in ("items", "items_async", "items_awaited", "list_of"):
                assert await do(host, script, values[:-1]) == values[:-1]
                assert await do(host, script, []) == []
            assert (await host.predict(orjson.dumps(["items", [10]])))[-4:] == b"[10]"
            assert await do(host, "range_of", 3) == [0, 1, 2]  # a sequence is a result as it is
            with pytest.raises(ModelRaised, match=r"TypeError: predict returned a map that can't be written as JSON"):
                await do(host, "map_of", [1])

    run(scenario())


@ONE_LOOP
def test_what_a_generator_returns_is_the_result_unless_it_is_none(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(CHATTY)) as host:
            assert await do(host, "returns", [1, 2], {"count": 2}) == {"count": 2}
            assert await do(host, "returns", [1, 2], 0) == 0
            assert await do(host, "returns", [1, 2], None) == [1, 2]
            assert await do(host, "nothing_then", "the end") == "the end"

    run(scenario())


@ONE_LOOP
@pytest.mark.parametrize("model", ["Words", "WordsInQuotes", "WordsAsync"])
def test_texts_are_joined_if_the_annotation_announces_them(run: Run, model: str) -> None:
    async def scenario() -> None:
        async with running(make(f"{YIELDING}:{model}", max_result_bytes=20)) as host:
            assert await do(host, "say ", '"ä"', "\n") == 'say "ä"\n'
            assert await do(host) == ""
            with pytest.raises(ModelRaised, match=r"TypeError: predict yielded an int that .*: texts were announced"):
                await do(host, "one", 2)
            assert await do(host, "x" * 9, "y" * 9) == "x" * 9 + "y" * 9
            with pytest.raises(ModelRaised, match=r"^ResultTooLarge: .* is 21 bytes of JSON, 20 are allowed$"):
                await do(host, "x" * 9, '"' * 5)

    run(scenario())


@ONE_LOOP
def test_what_is_returned_goes_before_texts(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(f"{YIELDING}:WordsReturned")) as host:
            assert await do(host, "one", "two") == {"words": 2}

    run(scenario())


@ONE_LOOP
def test_an_item_that_is_no_json_is_named_by_its_place(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(CHATTY)) as host:
            with pytest.raises(
                ModelRaised, match=r"^TypeError: predict yielded a dict that can't .* JSON: bytes, .*, at /1/image$"
            ):
                await host.predict(b'["odd","bytes"]', job=JobAtHand("job-7"))
            with pytest.raises(ModelRaised, match=r"^TypeError: .* nested more than 254 deep"):
                await do(host, "odd", "tuple")
            assert await do(host, "odd", "decimal") == [1, [1, [2]]]
            found = EncodedResult.unpacked(await host.predict(b'["odd","nan"]'))
            assert orjson.loads(found.body) == [1, {"score": None}]
            assert orjson.loads(found.warnings) == [{"pointer": "/1/score", "detail": "NaN became null"}]

    run(scenario())


@ONE_LOOP
def test_a_generator_that_raises_fails_its_job(run: Run, ending: Path) -> None:
    async def scenario() -> None:
        async with running(make(CHATTY)) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelRaised, match=r"^LookupError: no more$"):
                await do(host, "fails_after", 10)
            assert noted(ending) == ["closed"]
            assert await do(host, "pid") == pid

    run(scenario())


@ONE_LOOP
@pytest.mark.parametrize("script", ["endless", "endless_async"])
def test_a_generator_without_end_is_closed_at_the_limit_of_results(
    run: Run, ending: Path, tmp_path: Path, script: str
) -> None:
    async def scenario() -> None:
        async with running(make(CHATTY, max_result_bytes=1000)) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelRaised, match=r"is 1013 bytes of JSON, 1000 are allowed$") as error:
                await do(host, script, str(tmp_path / "pid"), 20)
            assert error.value.type == "ResultTooLarge"
            assert noted(ending) == ["closed"]
            assert await do(host, "pid") == pid

    run(scenario())


@ONE_LOOP
def test_a_generator_that_cannot_be_closed_still_ends_at_the_limit(run: Run, ending: Path) -> None:
    async def scenario() -> None:
        async with running(make(CHATTY, max_result_bytes=1000)) as host:
            with pytest.raises(ModelRaised, match=r"^ResultTooLarge: "):
                await do(host, "stubborn", 20)
            assert set(noted(ending)) == {"asked to close"}

    run(scenario())


@ONE_LOOP
@pytest.mark.parametrize("script", [("endless", 20), ("endless_async", 20), ("silent",)], ids=lambda script: script[0])
@pytest.mark.parametrize("how", ["cancel", "time-out"])
def test_a_generator_that_is_stopped_is_closed(
    run: Run, ending: Path, tmp_path: Path, limit: TimeLimit, script: tuple[Any, ...], how: str
) -> None:
    name, *arguments = script

    async def scenario() -> None:
        async with running(make(CHATTY, max_result_bytes=2**31, stop_grace_s=LONG_S)) as host:
            file = tmp_path / "pid"
            job = asyncio.create_task(do(host, name, str(file), *arguments, timeout_s=limit.SECONDS))
            pid = await told(file)
            if how == "cancel":
                job.cancel()
            else:
                limit.end()
            with pytest.raises(asyncio.CancelledError if how == "cancel" else ModelTimedOut):
                await job
            assert gone(pid)
            assert noted(ending) == ["closed"]

    run(scenario())


@pytest.mark.parametrize(
    ("annotation", "is_text"),
    [
        (collections.abc.Iterator[str], True),
        (collections.abc.Generator[str, None, None], True),
        (typing.AsyncIterator[str], True),
        ("AsyncGenerator[str, None]", True),
        ("typing.Iterable[ str ]", True),
        ("'Iterator[str]'", True),
        (collections.abc.Iterator[int], False),
        ("Iterator[int]", False),
        ("Iterator[strange]", False),
        ("list[str]", False),
        (list[str], False),
        (str, False),
        (collections.abc.Iterator, False),
        (None, False),
    ],
)
def test_annotations_that_announce_texts(annotation: Any, is_text: bool) -> None:
    def function() -> Any: ...

    function.__annotations__["return"] = annotation
    assert yields_text(function) is is_text
