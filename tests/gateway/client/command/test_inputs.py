"""Inputs that can't be sent, and arguments that mean nothing: exit code 2, before anything is pushed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gateway.client.command.conftest import Command
    from workers.stream import Stream


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        (["run", "--data", "NaN"], "", "--data can't be sent as JSON"),
        (["run", "--data", "1e999"], "", "--data can't be sent as JSON"),
        (["run", "--data", r'"\ud800"'], "", "--data can't be sent as JSON"),
        (["run", "half a character \udcff"], "", "TEXT can't be sent as JSON"),
        (["run", "--data", "[" * 100_000], "", "--data is no JSON"),
        (["run", "--data", "-"], b'"\xff"', "- is not UTF-8"),
        (["batch", "-"], '1\n\n{"n": NaN}\n', "line 3 of - can't be sent as JSON"),
        (["run", "hello", "--wait", "nan"], "", "nan is no time"),
        (["--patience", "nan", "run", "hello"], "", "nan is no time"),
        (["--url", "nowhere", "run", "hello"], "", "'nowhere' is no URL of a gateway"),
    ],
)
async def test_wrong_arguments_are_told_in_a_sentence(
    command: Command, stream: Stream, arguments: list[str], text: str | bytes, said: str
) -> None:
    code, printed = await command(*arguments, text=text)

    assert code == 2
    assert said in printed.splitlines()[-1]
    assert not await stream.claim("w", 1)
