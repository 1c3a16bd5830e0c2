"""The command `leadtime`, as the tests call it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from gateway.client.command.main import leadtime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.gateway.service import GatewayProcess

    Command = Callable[..., Awaitable["tuple[int, str]"]]


@pytest.fixture
def command(gateway: GatewayProcess) -> Command:
    """Runs the command in a thread: its exit code, and what it has printed, on stderr too."""

    async def run(*arguments: str, text: str | bytes = "") -> tuple[int, str]:
        runner = CliRunner(env={"LEADTIME_URL": gateway.base})
        done = await asyncio.to_thread(runner.invoke, leadtime, arguments, input=text)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output.strip()

    return run
