"""What a delivery says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import orjson

from workers.wire.stored import StoredJson

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.stream import JobView, Stream

    MakeDocument: TypeAlias = Callable[[JobView], dict[str, Any] | bytes]

# A larger result is left out: the receiver asks for it.
MOST_RESULT_BYTES = 256 * 1024


class JobNews(NamedTuple):
    """Something that has happened to a job; `value` (JSON) is what belongs to it (webhooks.lua), or empty."""

    job_id: str
    name: str
    at_ms: int
    value: bytes

    async def message(self, stream: Stream, document_of: MakeDocument) -> bytes:
        """`{"type", "timestamp", "data"}` as JSON. `stream` is the job's."""
        data = orjson.dumps(await self._data(stream, document_of))
        at = datetime.fromtimestamp(self.at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return b'{"type":"job.%b","timestamp":"%b","data":%b}' % (self.name.encode(), at.encode(), data)

    async def _data(self, stream: Stream, document_of: MakeDocument) -> Any:
        value = orjson.Fragment(self.value) if self.value else None
        match self.name:
            case "started":
                return {"id": self.job_id, "status": "processing", "attempts": value}
            case "progress" | "output":
                return {"id": self.job_id, "status": "processing", self.name: value}
        [view] = await stream.view_many([(self.job_id, True)], MOST_RESULT_BYTES)
        if view is None or view.status != self.name:
            # It is no longer kept, or was run again.
            return {"id": self.job_id, "status": self.name, "error": value}
        view = _without_stored(view)
        document = document_of(view)
        if isinstance(document, bytes):
            return orjson.Fragment(document)
        if view.unsent_bytes:
            document["warnings"] = [
                {
                    "pointer": "/output",
                    "detail": f"{view.unsent_bytes} bytes are too many to be sent: they are at /data/ID",
                }
            ]
        return document


def _without_stored(view: JobView) -> JobView:
    """The job without what it has in the object store: such a result was too large for the stream, too."""
    if (given := StoredJson.read_input(view.notes, view.id)) is not None:
        view = replace(view, notes=view.notes.replace(given.reference, b"null", 1))
    if view.result is None or (stored := StoredJson.read(view.result, view.id)) is None:
        return view
    return replace(view, result=None, unsent_bytes=stored.size_bytes)
