from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from workers.stream import Finish, NewJob
from workers.webhooks.message import JobNews
from workers.wire.stored import StoredJson

if TYPE_CHECKING:
    from workers.stream import JobView, Stream


def shown(view: JobView) -> dict[str, object]:
    return {"id": view.id, "result": view.result, "notes": view.notes.decode()}


async def test_what_a_job_has_in_the_object_store_is_left_out(stream: Stream) -> None:
    await stream.push(NewJob("job-7", b'["in"]'))
    await stream.claim("worker", 1)
    result, given = (StoredJson.of("job-7", f"0-{name}.json", 70_000).reference for name in ("result", "input"))
    await stream.finish("worker", [Finish("job-7", 1, "finished", result, 60_000, b'{"input":%b}' % given)])

    message = orjson.loads(await JobNews("job-7", "finished", 0, b"").message(stream, shown))

    assert message["data"]["result"] is None
    assert message["data"]["notes"] == '{"input":null}'
    assert message["data"]["warnings"][0]["detail"].startswith("70000 bytes are too many")
