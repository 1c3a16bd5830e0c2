"""What the command prints to files, to programs that stop reading, and in other encodings."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

from tests.gateway.client.answering import answering, claimed
from tests.processes import module
from workers.stream.events import Telling

if TYPE_CHECKING:
    from tests.gateway.client.command.conftest import Command
    from tests.gateway.service import GatewayProcess
    from workers.stream import Stream


async def printed(gateway: GatewayProcess, shell: str, **variables: str) -> tuple[int, bytes, bytes]:
    """The exit code of the command in a shell, and what it has written to stdout and stderr."""
    command = " ".join(module("gateway.client"))
    process = await asyncio.create_subprocess_exec(
        "bash", "-o", "pipefail", "-c", shell.replace("leadtime", command),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL,
        env={**os.environ, "LEADTIME_URL": gateway.base, "PATH": os.environ["PATH"], **variables},
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out, err


async def test_a_text_is_printed_alone_only_if_it_is_all_that_was_returned(command: Command, stream: Stream) -> None:
    async with answering(stream, lambda value: {"output": "HELLO", **({"score": 0.9} if value == "score" else {})}):
        alone = await command("run", "hello")
        _, with_more = await command("run", "score")

    assert alone == (0, "HELLO")
    assert json.loads(with_more) | {"id": "", "latency": 0} == {
        "output": "HELLO", "score": 0.9, "input": "score", "id": "", "latency": 0
    }  # fmt: skip


async def test_other_encodings_get_what_they_can_write(gateway: GatewayProcess, stream: Stream) -> None:
    async with answering(stream):
        text = await printed(gateway, "leadtime run größe€", PYTHONIOENCODING="latin-1")
        line = await printed(gateway, "leadtime --json run größe€😀", PYTHONIOENCODING="latin-1")
        piped = await printed(gateway, "echo '\"größe\"' | leadtime run --data -", PYTHONIOENCODING="latin-1")

    assert (text[0], text[1].decode("latin-1")) == (0, "GRÖSSE\\u20ac\n")
    assert (line[0], json.loads(line[1].decode("latin-1"))["output"]) == (0, "GRÖSSE€😀")
    assert (piped[0], piped[1].decode("latin-1")) == (0, "GRÖSSE\n")


async def test_who_stops_reading_or_has_closed_stdin_gets_no_traceback(gateway: GatewayProcess, stream: Stream) -> None:
    _, told_id, _ = await printed(gateway, "leadtime submit hello")
    [job] = await claimed(stream)
    told = [("log", b'"%b"' % (b"x" * 1000))] * 500
    await stream.tell("w", [Telling(job.id, job.attempt, 1, told)])
    left = await printed(gateway, f"leadtime logs {told_id.decode().strip()} | head -1")
    closed = await printed(gateway, "leadtime run --data - <&-")
    lines = await printed(gateway, "leadtime batch - <&-")

    assert (left[1], left[2]) == (b"x" * 1000 + b"\n", b"")
    assert closed[0] == lines[0] == 2
    assert closed[2].splitlines()[-1] == lines[2].splitlines()[-1] == b"Error: stdin is closed"


async def test_an_output_that_can_not_be_written_is_told_in_a_sentence(gateway: GatewayProcess, stream: Stream) -> None:
    if sys.platform != "linux":
        return
    async with answering(stream):
        code, _, err = await printed(gateway, "leadtime run hello >/dev/full")

    assert (code, err) == (3, b"leadtime: [Errno 28] No space left on device\n")
