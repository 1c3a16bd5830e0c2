"""What a request writes: when it is sent, and in how many pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from gateway.http.connection.transport import RequestTransport
from gateway.http.responses import JsonResponse

if TYPE_CHECKING:
    import asyncio

    from starlette.types import Message, Receive


class WritesOnly:
    """A transport that keeps each piece that is written."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.write = self.pieces.append

    def is_closing(self) -> bool:
        """Never."""
        return False


def transports() -> tuple[WritesOnly, RequestTransport]:
    writes = WritesOnly()
    return writes, RequestTransport(cast("asyncio.Transport", writes), lambda: None)


def test_what_joins_the_next_is_sent_with_it() -> None:
    writes, transport = transports()

    transport.write(b"one")
    transport.joins_next = True
    transport.write(b"two")
    assert writes.pieces == [b"one"]
    transport.write(b"three")
    transport.write(b"four")

    assert writes.pieces == [b"one", b"twothree", b"four"]


@pytest.mark.parametrize(
    ("method", "body", "pieces"),
    [
        ("POST", b"{}", [b"head{}"]),
        ("POST", b"x" * 100_000, [b"head", b"x" * 100_000]),
        ("HEAD", b"{}", [b"head"]),  # the server writes no body then
    ],
)
async def test_a_small_answer_is_one_piece(method: str, body: bytes, pieces: list[bytes]) -> None:
    writes, transport = transports()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            transport.write(b"head")
        elif method != "HEAD":
            transport.write(message["body"])

    scope = {"method": method, "state": {"transport": transport}}
    await JsonResponse(body)(scope, cast("Receive", None), send)

    assert writes.pieces == pieces
