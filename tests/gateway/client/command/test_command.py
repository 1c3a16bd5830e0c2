"""The command `leadtime` on a real gateway."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from gateway.client.command.main import leadtime
from tests.gateway.client.answering import answering, claimed
from tests.processes import LoggedProcess, module
from tests.servers import free_port
from workers.stream.events import Telling

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.client import AsyncClient
    from tests.gateway.client.command.conftest import Command
    from tests.gateway.service import GatewayProcess
    from workers.stream import Stream


def values(printed: str) -> list[Any]:
    """The JSON values, one a line."""
    return [json.loads(line) for line in printed.splitlines()]


async def test_run_prints_the_result(command: Command, stream: Stream) -> None:
    async with answering(stream):
        text = await command("run", "hello", "--tag", "a", "--priority", "high")
        data = await command("run", "--data", "-", "--json", text='{"n": 1}')
        missing = await command("run")
        broken = await command("run", "--data", "{")
        others = [await command("run", "--data", written) for written in ("NaN", "1e400", '"\\ud800"', "[" * 100_000)]
        others += [await command(*option, "run", "hello") for option in (("--url", "x"), ("--patience", "nan"))]

    assert text == (0, "HELLO")
    assert data[0] == 0
    assert (values(data[1])[0]["output"], values(data[1])[0]["input"]) == ("{'N': 1}", {"n": 1})
    assert missing[0] == broken[0] == 2
    assert "no JSON" in broken[1]
    assert [code for code, _ in others] == [2] * len(others)


async def test_what_fails_has_an_exit_code_and_one_sentence(command: Command, stream: Stream) -> None:
    async with answering(stream, lambda _: ValueError("no \x1b[31m voice")):
        failed = await command("run", "hello")
    over = await command("run", "hello", "--wait", "0.05")
    refused = await command("submit", "hello", "--ttl", "0")
    away = await command("--url", f"http://127.0.0.1:{free_port()}/x", "--patience", "0.1", "status", "x")

    assert failed[0] == over[0] == 1
    assert failed[1].endswith("has failed: ValueError: no \\x1b[31m voice")
    assert over[1].endswith("it goes on")
    assert refused[0] == away[0] == 3
    assert "can't be reached" in away[1]


async def test_an_interrupt_cancels_the_job_that_is_run(
    gateway: GatewayProcess, stream: Stream, tmp_path: Path
) -> None:
    environment = {**os.environ, "LEADTIME_URL": gateway.base}
    with LoggedProcess([*module("gateway.client"), "run", "hello"], environment, tmp_path / "run.log") as process:
        [job] = await claimed(stream)
        process.send(signal.SIGINT)
        assert await process.code() == 1

    view = await stream.view(job.id)
    assert view is not None
    assert view.status == "cancelled"


async def test_a_jobs_way(command: Command, stream: Stream) -> None:
    _, job_id = await command("submit", "hello")
    [job] = await claimed(stream)
    told = [("progress", b'{"fraction":0.5,"text":"half"}'), ("log", b'"a line"'), ("partial", b'"HE"')]
    await stream.tell("w", [Telling(job.id, job.attempt, 1, told)])
    _, status = await command("status", job_id)
    lines = await command("logs", job_id)
    cancelled = await command("cancel", job_id, "--json")
    _, again = await command("cancel", job_id)
    code, watched = await command("watch", job_id)

    assert "status    processing" in status
    assert lines == (0, "a line")
    assert values(cancelled[1]) == [{"id": job_id, "cancelled": True}]
    assert again.endswith("cancelled"), "as one whose answer was lost"
    assert code == 1
    assert watched.splitlines()[:4] == ["begin     1", "progress  50% half", "log       a line", "partial   HE"]
    assert watched.splitlines()[4:] == ["end       cancelled", f"leadtime: job {job_id} was cancelled"]


async def test_what_is_long_is_printed_whole_and_json_stays_json(command: Command, stream: Stream) -> None:
    texts = ["x" * 200_000, "\x9b"]
    async with answering(stream, lambda _: {"texts": texts}):
        _, result = await command("run", "hello")
        _, line = await command("batch", "-", text='"hello"')
    _, job_id = await command("submit", "hello")
    [job] = await claimed(stream)
    await stream.tell("w", [Telling(job.id, job.attempt, 1, [("log", json.dumps("x" * 2000).encode())])])

    assert json.loads(result)["texts"] == json.loads(line.split(maxsplit=2)[2])["texts"] == texts
    assert "\x9b" not in result + line
    assert await command("logs", job_id) == (0, "x" * 2000)


@pytest.mark.parametrize(
    "returned", [{"status": "mine", "_job": 5}, {"_job": {"status": "mine"}}, {"__job": {"id": 1}}]
)
async def test_the_end_of_a_job_is_told_whatever_the_model_has_returned(
    command: Command, stream: Stream, returned: Any
) -> None:
    async with answering(stream, lambda _: returned):
        _, job_id = await command("submit", "hello")
        code, watched = await command("watch", job_id)

    assert (code, watched) == (0, "end       finished")


async def test_a_file_of_inputs_is_a_batch(command: Command, stream: Stream, tmp_path: Path) -> None:
    path = tmp_path / "inputs.jsonl"
    path.write_text('"a"\n\n"b"\n')
    async with answering(stream, lambda value: value if value == "a" else ValueError("b")):
        code, printed = await command("batch", str(path), "--json")
        shown = await command("batch", "-", text='"a"')
    bad = await command("batch", "-", text='"a"\nb')
    empty = await command("batch", "-", text='"a"\n""')
    missing = await command("batch", str(tmp_path / "missing.jsonl"))
    path.write_bytes(b'"\xff"\n')
    latin = await command("batch", str(path))

    assert code == 1
    assert [(one["place"], one["status"], one["result"]) for one in values(printed)] == [
        (0, "finished", "a"), (1, "failed", None)
    ]  # fmt: skip
    assert shown == (0, "0        finished  a")
    assert bad[0] == 2
    assert "line 2" in bad[1]
    assert empty == (3, "leadtime: input 1: the input is empty (400)")
    assert missing[0] == latin[0] == 2
    assert "does not exist" in missing[1]
    assert "is not UTF-8" in latin[1]


async def test_figures_in_a_terminal_are_those_of_the_gateway(
    command: Command, client: AsyncClient, stream: Stream
) -> None:
    for n in range(3):
        await client.submit(n)
    [job] = await claimed(stream)
    _, table = await command("queues")
    _, figures = await command("queues", "--json")
    unnamed = await command("--queue", "another", "queues")
    _, top = await command("top", "--count", "2", "--interval", "0.1")
    _, of_top = await command("top", "--count", "1", "--json")
    [queue] = await client.queues()

    assert table.splitlines()[1].split()[:5] == ["-", "2", "1", "0", "0"]
    assert values(figures) == [queue._asdict()]
    assert unnamed == (3, "leadtime: the gateway names no queue 'another'")
    [shown] = values(of_top)[0]["queues"]
    assert (shown["queue"], shown["waiting"], shown["running"]) == (stream.settings.queue_name, 2, 1)
    assert (shown["oldest_wait_s"] >= 0, shown["workers"], shown["scaler"]) == (True, {}, None)
    assert job.id in top
    assert "no scaler has decided anything" in top


async def test_dead_letters_are_listed_and_run_again(command: Command, stream: Stream) -> None:
    async with answering(stream, ValueError):
        for n in range(2):
            await command("run", f"input {n}")
    _, listed = await command("dead-letters", "--json")
    _, shown = await command("dead-letters")
    gone = await command("dead-letters", "--requeue", "gone")
    await command("dead-letters", "--requeue", "all")

    assert [one["error"]["message"] for one in values(listed)] == ["input 1", "input 0"]
    assert "ValueError: input 1" in shown.splitlines()[0]
    assert gone == (3, "gone  job not found")
    assert len(await stream.claim("w", 9)) == 2
    assert (await command("dead-letters"))[1] == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completions_name_the_command(shell: str) -> None:
    done = CliRunner().invoke(leadtime, ["completions", shell])

    assert done.exit_code == 0
    assert "_LEADTIME_COMPLETE" in done.output
