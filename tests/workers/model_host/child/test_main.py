"""What the model in its process does: results, errors, limits, the process's surroundings."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.workers.model_host.tools import MEGABYTE, do, gone, make, running
from workers.model_host.errors import ModelCrashed, ModelLoadFailed, ModelNotFound, ModelRaised
from workers.model_host.protocol.job_at_hand import JobAtHand

if TYPE_CHECKING:
    from tests.workers.model_host.tools import Run


def test_toy_model_answers_with_its_uuid_and_the_input(run: Run) -> None:
    async def scenario() -> None:
        async with running(make("workers.model:Model")) as host:
            first = orjson.loads(await host.predict(b'{"text":"hello"}'))
            second = orjson.loads(await host.predict(b'"x"'))
        assert first["input"] == {"text": "hello"}
        assert second["input"] == "x"
        words = first["output"].split()
        assert words[0] == "model"
        assert len(words[1]) == 36
        assert "hello" in first["output"]
        assert words[1] in second["output"]  # one instance

    run(scenario())


@pytest.mark.parametrize("value", [None, 0, "ä\U0001f600", [], {"a": [1.5, {"b": None}]}, "x" * 900_000])
def test_any_json_goes_in_and_out(run: Run, value: Any) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            assert await do(host, "echo", value) == value

    run(scenario())


@pytest.mark.usefixtures("is_forked")
def test_environment_of_the_process(run: Run) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            found = await do(host, "environment")
        assert found["cwd"] == str(Path.cwd())
        assert found["path"] == sys.path
        assert found["session"] == found["pid"] != os.getsid(0)
        assert found["ignores_sigint"]
        assert found["oom_score_adj"] in {"1000", None}

    run(scenario())


def test_error_of_the_model_leaves_its_process_alive(run: Run) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelRaised, match=r"^LookupError: no such thing$") as error:
                await do(host, "fail", "no such thing")
            assert (error.value.type, error.value.message) == ("LookupError", "no such thing")
            with pytest.raises(ModelRaised) as error:
                await do(host, "fail", "ä" * 100_000)
            assert error.value.message == "ä" * 2000
            with pytest.raises(ModelRaised) as error:
                await do(host, "fail_oddly")
            assert error.value.type == "Odd"
            with pytest.raises(ModelRaised, match="NotJson"):
                await host.predict(b"{")
            assert await do(host, "pid") == pid

    run(scenario())


def test_result_that_cannot_be_handed_on(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(max_result_bytes=1000)) as host:
            pid = await do(host, "pid")
            with pytest.raises(
                ModelRaised, match=r"predict returned a list that can't be written as JSON: bytes, .*, at /0"
            ) as error:
                await host.predict(b'["no_json"]', job=JobAtHand("job-7"))
            assert error.value.type == "TypeError"
            with pytest.raises(ModelRaised, match="the result is 1001 bytes of JSON, 1000 are allowed") as error:
                await do(host, "long", 999)
            assert error.value.type == "ResultTooLarge"
            assert await do(host, "long", 998) == "x" * 998
            assert await do(host, "pid") == pid

    run(scenario())


@pytest.mark.usefixtures("is_forked")
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS binds on Linux only")
def test_memory_limit(run: Run) -> None:
    async def scenario() -> None:
        limit = 600 * MEGABYTE
        async with running(make(memory_limit_bytes=limit)) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelCrashed, match=rf"ran out of memory \(limit {limit} bytes\)"):
                await do(host, "eat")
            assert gone(pid)
            assert await do(host, "pid") != pid

    run(scenario())


@pytest.mark.usefixtures("is_forked")
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS binds on Linux only")
def test_memory_limit_while_loading(run: Run) -> None:
    async def scenario() -> None:
        host = make("tests.workers.models:Greedy", memory_limit_bytes=600 * MEGABYTE)
        with pytest.raises(ModelLoadFailed, match=r"ran out of memory \(limit 600000000 bytes\)$"):
            await host.run()

    run(scenario())


@pytest.mark.usefixtures("is_forked")
@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("tests.workers.models:NoPredict", "tests.workers.models:NoPredict has no method predict"),
        ("tests.workers.models:Missing", "AttributeError: .*has no attribute 'Missing'"),
        ("tests.workers.models:SCALAR", "tests.workers.models:SCALAR is no class"),
        ("tests.workers.unimportable:X", r"ModuleNotFoundError: No module named '.*' \(.*unimportable.py, line 3\)"),
        ("no.such.module:Model", "ModuleNotFoundError: No module named 'no'"),
    ],
)
def test_model_that_is_not_there_is_not_tried_again(
    run: Run, capfd: pytest.CaptureFixture[str], model: str, reason: str
) -> None:
    loads: list[float] = []

    async def scenario() -> None:
        host = make(model, on_load_s=loads.append)
        with pytest.raises(ModelNotFound, match=f"^the model {model} could not be loaded: {reason}$"):
            await host.run()

    run(scenario())
    assert loads == []
    assert "model_host/child/main.py" not in capfd.readouterr().err  # no traceback


@pytest.mark.usefixtures("is_forked")
def test_prints_go_to_the_log(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            assert await do(host, "chat") == "said"
            with pytest.raises(ModelRaised):
                await do(host, "fail", "told in the log")
            assert await do(host, "echo", 1) == 1

    run(scenario())
    out, err = capfd.readouterr()
    assert out.count("\x00\x00\x00\x01R") == 1001
    assert "LookupError: told in the log" in err
