"""Server-sent events (the HTML standard's text/event-stream), and a series of them over cut connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..errors import GatewayUnavailable, LeadtimeError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator

    from .transport import Transport

_CUT = "the events were cut before their end"


class RawEvent(NamedTuple):
    """One event as it was sent: `id` is empty if it has none, `data` is JSON."""

    id: str
    kind: str
    data: bytes


async def lines_of(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Lines, without their ends, however long they are. What comes behind the last end is no line."""
    parts: list[bytes] = []
    async for chunk in chunks:
        first, *rest = chunk.split(b"\n")
        parts.append(first)
        for following in rest:
            yield b"".join(parts)
            parts = [following]


async def parsed(chunks: AsyncIterable[bytes]) -> AsyncIterator[RawEvent]:
    """The events of an answer. One that was cut is left out."""
    fields: dict[bytes, bytes] = {}
    async for line in lines_of(chunks):
        if not line:
            if b"data" in fields:
                yield RawEvent(fields.get(b"id", b"").decode(), fields.get(b"event", b"").decode(), fields[b"data"])
            fields = {}
        elif not line.startswith(b":"):
            name, _, value = line.partition(b":")
            fields[name] = value.removeprefix(b" ")


async def followed(transport: Transport, path: str, after: str = "") -> AsyncGenerator[RawEvent, None]:
    """All events behind `after`, up to and with the one of the kind `end`.

    An answer that is cut is asked for again, behind the last event that has come. Raises LeadtimeError.
    """
    patience = transport.patience()
    while True:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
        failure: LeadtimeError = GatewayUnavailable(_CUT)
        try:
            async with transport.open("GET", path, headers=headers) as response:
                async for event in parsed(response.content.iter_any()):
                    patience.succeeded()
                    after = event.id or after
                    yield event
                    if event.kind == "end":
                        return
        except LeadtimeError as error:
            failure = error
        await patience.pause(failure)
