"""An input of many members for pushes, and the schema that a worker would publish for it."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from pydantic import TypeAdapter, create_model

from workers.model_host.calls.schemas.accepted import accepted
from workers.stream import Stream, StreamSettings

# The types of the members in turn, each with a value.
_KINDS: list[tuple[Any, Any]] = [(int, 7), (float, 0.5), (str, "a text"), (bool, True), (list[int], [1, 2, 3])]


def input_json(members: int) -> bytes:
    """An object of so many members."""
    return orjson.dumps({f"member_{n}": _KINDS[n % len(_KINDS)][1] for n in range(members)})


async def publish_schema(redis_url: str, members: int) -> None:
    """Publishes the schema of that object, as a worker does."""
    fields: dict[str, Any] = {f"member_{n}": (_KINDS[n % len(_KINDS)][0], ...) for n in range(members)}
    text = orjson.dumps({"accepts": accepted(TypeAdapter(create_model("Input", **fields)).core_schema)})
    stream = Stream(StreamSettings(redis_url=redis_url))
    try:
        await stream.publish_schema(hashlib.sha256(text).hexdigest()[:32], text)
    finally:
        await stream.close()
