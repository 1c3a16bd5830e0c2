"""The command line of the dead letters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from arq.worker import func

from tests.servers import free_port
from tests.workers.service import push, run_burst, until_ended
from workers import dead_letters
from workers.stream import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.settings import StreamSettings, WorkerSettings
    from workers.stream import Stream


async def broken(ctx: dict[str, Any], what: str, **_: Any) -> None:
    raise ValueError(what)


async def run(settings: StreamSettings, *arguments: str) -> int:
    return await dead_letters.run(dead_letters.parser().parse_args(arguments), settings)


async def fail(stream: Stream, settings: WorkerSettings, payloads: Sequence[bytes], kwargs: bytes = b"") -> list[str]:
    """The ids of jobs that have failed, in that order."""
    ids = [await push(stream, "broken", payload, kwargs) for payload in payloads]
    await run_burst(settings, [func(broken, name="broken")], max_jobs=1)
    return ids


async def test_list(stream: Stream, worker_settings: WorkerSettings, capsys: pytest.CaptureFixture[str]) -> None:
    long = orjson.dumps(["x" * 200])
    ids = await fail(stream, worker_settings, [b'["a \\u001b[31mred\\n error"]', long], b'{"k":1}')
    first, second = await stream.dead_letters()
    assert await run(worker_settings, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{first.entry}  {ids[0]}  broken  1 attempts  ")
    assert lines[0].endswith(" s ago")
    assert lines[1] == "    error    ValueError: a \\x1b[31mred\\n error"  # nothing reaches the terminal as it is
    assert lines[2] == '    payload  ["a \\u001b[31mred\\n error"] {"k":1}'
    assert lines[3].startswith(f"{second.entry}  {ids[1]}")
    assert lines[5].endswith("xxx...")
    assert len(lines[5]) < 80
    assert lines[6:] == ["2 dead letters"]

    assert await run(worker_settings, "list", "--count", "1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[-1]) == (4, "2 dead letters, the oldest 1 shown (--count 2 for all)")

    assert await run(worker_settings, "list", "--json") == 0
    records = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert records[1]["args"] == ["x" * 200]
    assert {**records[0], "age_s": 0} == {
        "entry": first.entry,
        "id": ids[0],
        "function": "broken",
        "attempts": 1,
        "error": {"type": "ValueError", "message": "a \x1b[31mred\n error"},
        "age_s": 0,
        "args": ["a \x1b[31mred\n error"],
        "kwargs": {"k": 1},
    }


async def test_a_payload_of_several_lines_is_one_line(
    stream: Stream, worker_settings: WorkerSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    await fail(stream, worker_settings, [b'[{\n  "a": 18446744073709551616,\r\n  "b": "c\\n"\n}]'], b"")
    assert await run(worker_settings, "list", "--json") == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["args"] == [{"a": 2**64, "b": "c\n"}]


async def test_none(worker_settings: WorkerSettings, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(worker_settings, "list") == 0
    assert await run(worker_settings, "list", "--json") == 0
    assert await run(worker_settings, "requeue", "--all") == 0
    assert capsys.readouterr().out == "0 dead letters\n0 jobs requeued\n"


async def test_more_than_a_page(
    stream: Stream, worker_settings: WorkerSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = await fail(stream, worker_settings, [b'["x"]'] * 45)
    assert await run(worker_settings, "list", "--json", "--count", "43") == 0
    assert [orjson.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ids[:43]
    assert await run(worker_settings, "requeue", "--all") == 0
    assert capsys.readouterr().out == "45 jobs requeued\n"
    counts = await stream.counts()
    assert (counts.waiting, counts.dead) == (45, 0)


async def test_requeue(stream: Stream, worker_settings: WorkerSettings, capsys: pytest.CaptureFixture[str]) -> None:
    async def mended(ctx: dict[str, Any], what: str) -> str:
        return what

    ids = await fail(stream, worker_settings, [b'["a"]', b'["b"]'])
    entry = (await stream.dead_letters())[0].entry
    assert await run(worker_settings, "requeue", entry, "12345-6") == dead_letters.NOT_THERE
    out, err = capsys.readouterr()
    assert out == "1 jobs requeued\n"
    assert err == "no dead letter 12345-6, or its job has been started again\n"
    view = await stream.view(ids[0])
    assert view is not None
    assert (view.status, view.attempts) == (Status.QUEUED, 0)
    assert await run(worker_settings, "requeue", entry) == dead_letters.NOT_THERE  # it is not there any more
    await run_burst(worker_settings, [func(mended, name="broken")])
    assert (await until_ended(stream, ids[0])).result == b'"a"'
    assert [letter.id for letter in await stream.dead_letters()] == [ids[1]]


async def test_no_server(worker_settings: WorkerSettings, capsys: pytest.CaptureFixture[str]) -> None:
    settings = worker_settings.model_copy(update={"redis_url": f"redis://me:hunter2@127.0.0.1:{free_port()}/0"})
    for arguments in (["list"], ["requeue", "--all"], ["requeue", "1-0"]):
        assert await run(settings, *arguments) == dead_letters.SERVER_FAILED
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("the server redis://***@127.0.0.1:")
        assert " is unavailable: " in err
        assert err.count("\n") == 1
        assert "hunter2" not in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["requeue"], "one of the arguments ENTRY --all is required"),
        (["requeue", "--all", "1-0"], "not allowed with argument"),
        (["requeue", "foo"], "'foo' is no entry, such as 1700000000000-0"),
        (["list", "--count", "0"], "'0' is no number above 0"),
        ([], "the following arguments are required: command"),
    ],
)
def test_bad_arguments(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        dead_letters.parser().parse_args(arguments)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workers.dead_letters", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_as_a_process(one_stream: Stream, one_settings: WorkerSettings) -> None:
    """The settings come from the environment; a reader that has seen enough is no error."""
    environment = {"REDIS_URL": one_settings.redis_url, "QUEUE_NAME": one_settings.queue_name}
    (job_id,) = await fail(one_stream, one_settings, [b'["a"]'])
    listed = command(environment, "list", "--json")
    assert (listed.returncode, listed.stderr) == (0, "")
    entry = orjson.loads(listed.stdout)["entry"]
    done = command(environment, "requeue", entry)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 jobs requeued\n", "")
    view = await one_stream.view(job_id)
    assert view is not None
    assert view.status is Status.QUEUED
    bad = command({**environment, "REDIS_URL": "foo"}, "list")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == "bad setting REDIS_URL='foo': a server's URL starts with redis://, rediss:// or unix://\n"
