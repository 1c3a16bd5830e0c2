"""Queues of a test's own."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

from workers.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workers.stream import StreamSettings


def queue_name() -> str:
    """One that no other test has."""
    return f"test-{uuid.uuid4().hex}"


@contextlib.asynccontextmanager
async def opened(settings: StreamSettings) -> AsyncIterator[Stream]:
    """An open stream, for the block's time."""
    stream = Stream(settings)
    try:
        await stream.open()
        yield stream
    finally:
        await stream.close()
