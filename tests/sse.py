"""Reads server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

EVENTS = {"Accept": "text/event-stream"}


class ReadEvent(NamedTuple):
    """One that a client has read."""

    id: str
    kind: str
    value: Any


async def read(response: aiohttp.ClientResponse) -> AsyncIterator[ReadEvent]:
    """The events of an answer, as they come; one that the answer's end has cut is none."""
    assert response.status == 200
    assert response.content_type == "text/event-stream"
    fields: dict[str, str] = {}
    async for line in response.content:
        text = line.decode()
        if text != "\n":
            name, _, value = text.partition(": ")
            fields[name] = value.rstrip("\n")
        else:
            if "data" in fields:
                yield ReadEvent(fields.get("id", ""), fields["event"], orjson.loads(fields["data"]))
            fields = {}
