"""Ends that nobody asked for: the exit code is not 0, and the last line says why."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.processes import LoggedProcess, module
from tests.queues import opened, queue_name
from tests.servers import free_port
from workers.stream import StreamSettings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

pytestmark = pytest.mark.fault

PROGRAMS = pytest.mark.parametrize("program", ["gateway", "workers"])


async def last_line(folder: Path, program: str, **settings: str) -> tuple[int, str]:
    """The exit code and the last line of a program that ends by itself."""
    environment = {**os.environ, "HOST": "127.0.0.1", "PORT": str(free_port()), "MODEL_SETUP_S": "0", **settings}
    process = LoggedProcess(module(program), environment, folder / f"{program}.log")
    try:
        code = await process.code()
    finally:
        process.kill()
        process.reap()
    return code, process.text.splitlines()[-1]


@PROGRAMS
async def test_a_forgotten_or_wrong_password(valkey: Server, tmp_path: Path, program: str) -> None:
    url = valkey.url.replace("//", "//nobody:wrong@")
    code, line = await last_line(tmp_path, program, REDIS_URL=url)
    assert code == 2
    assert "bad setting REDIS_URL: the server refuses its user or password: " in line
    assert "wrong" not in line.replace("WRONGPASS", "")


@PROGRAMS
async def test_a_file_of_certificates_that_is_not_there(tmp_path: Path, program: str) -> None:
    code, line = await last_line(tmp_path, program, REDIS_URL="rediss://127.0.0.1/0?ssl_ca_certs=/no/ca.pem")
    assert code == 2
    assert line == (
        "bad setting REDIS_URL='rediss://127.0.0.1/0?ssl_ca_certs=/no/ca.pem': ssl_ca_certs: /no/ca.pem is not a file"
    )


@PROGRAMS
async def test_a_missing_right(valkey: Server, tmp_path: Path, program: str) -> None:
    queue = queue_name()
    async with opened(StreamSettings(redis_url=valkey.url)) as admin:
        await admin.redis.execute_command("ACL", "SETUSER", "few", "on", ">secret", "~*", "&*", "+@all", "-xgroup")
    url = valkey.url.replace("//", "//few:secret@")
    code, line = await last_line(tmp_path, program, REDIS_URL=url, QUEUE_NAME=queue)
    assert code == 2
    assert "bad setting REDIS_URL: the server does not let its user do what has to be done" in line


@PROGRAMS
async def test_a_side_task_that_dies(valkey: Server, tmp_path: Path, program: str) -> None:
    queue = queue_name()
    async with opened(StreamSettings(redis_url=valkey.url, queue_name=queue)) as stream:
        await stream.redis.delete(f"{stream.prefix}:stream")
        await stream.redis.set(f"{stream.prefix}:stream", "no stream")
        code, line = await last_line(tmp_path, program, REDIS_URL=valkey.url, QUEUE_NAME=queue)
        await stream.redis.delete(f"{stream.prefix}:stream")
    assert code == 1
    assert "WRONGTYPE" in line


async def test_a_port_that_is_taken(valkey: Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line = await last_line(tmp_path, "gateway", REDIS_URL=valkey.url, PORT=str(port))
    assert code == 1
    assert line.endswith(f"the gateway can't listen on 127.0.0.1, port {port}")


async def test_a_gateway_that_is_asked_to_end_while_its_server_is_away(tmp_path: Path) -> None:
    environment = {
        **os.environ, "HOST": "127.0.0.1", "PORT": str(free_port()),
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
    }  # fmt: skip
    process = LoggedProcess(module("gateway"), environment, tmp_path / "gateway.log")
    try:
        await process.says("the server is unavailable")
        assert await asyncio.wait_for(process.stopped(), 30) == 0
    finally:
        process.kill()
        process.reap()
