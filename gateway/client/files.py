"""Files: those of an input are sent before its push, those of a result are fetched."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import LeadtimeError, ServerFault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .connection.transport import Transport

_CHUNK_BYTES = 1 << 16
_SENT_AT_ONCE = 8


class Upload:
    """A file in an input: bytes, or the path of a file. Its name's ending tells its type (`cat.png`).

    Raises ValueError for bytes without a name.
    """

    def __init__(self, source: bytes | Path | str, name: str = "") -> None:
        if isinstance(source, bytes) and not name:
            raise ValueError("bytes need a name, such as cat.png, which tells their type")
        self.source = source if isinstance(source, bytes) else Path(source)
        # What is no Unicode in a path (its bytes may be any) is no JSON either.
        self.name = (name or Path(str(source)).name).encode(errors="replace").decode()

    def opened(self) -> Any:
        """The bytes, or the file, open."""
        return self.source if isinstance(self.source, bytes) else self.source.open("rb")


async def without_uploads(transport: Transport, value: Any) -> Any:
    """The input with what stands for each Upload in it, which is sent once. Raises LeadtimeError, OSError."""
    uploads = {id(upload): upload for upload in _uploads_in(value)}
    if not uploads:
        return value
    places = asyncio.Semaphore(_SENT_AT_ONCE)

    async def send(upload: Upload) -> dict[str, Any]:
        async with places:
            return await _sent(transport, upload)

    tasks = [asyncio.ensure_future(send(upload)) for upload in uploads.values()]
    try:
        sent = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    return _replaced(value, dict(zip(uploads, sent, strict=True)))


def _uploads_in(value: Any) -> Iterator[Upload]:
    if isinstance(value, Upload):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _uploads_in(item)


def _replaced(value: Any, sent: Mapping[int, dict[str, Any]]) -> Any:
    if isinstance(value, Upload):
        return sent[id(value)]
    if isinstance(value, dict):
        return {name: _replaced(member, sent) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, sent) for item in value]
    return value


async def _sent(transport: Transport, upload: Upload) -> dict[str, Any]:
    place = (await transport.call("POST", "/uploads", query={"name": upload.name})).json()
    headers = {"Content-Type": "application/octet-stream"}
    await transport.call("PUT", transport.at_origin(place["put"]), headers=headers, body=upload.opened)
    return {**place["file"], "name": upload.name}


async def read_file(transport: Transport, file: Mapping[str, Any] | str) -> bytes:
    """The bytes of a file that a data document names, or of its `url`. Raises LeadtimeError."""
    return (await transport.call("GET", _url_of(transport, file))).body


async def save_file(transport: Transport, file: Mapping[str, Any] | str, to: Path) -> Path:
    """Writes such a file to the path `to`, which has it whole or not at all. Raises LeadtimeError, OSError."""
    patience, part = transport.patience(), to.with_name(to.name + ".part")
    try:
        while True:
            try:
                async with transport.open("GET", _url_of(transport, file)) as response:
                    with part.open("wb") as opened:
                        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                            await asyncio.to_thread(opened.write, chunk)
                part.replace(to)
                return to
            except LeadtimeError as error:
                failure = error
            await patience.pause(failure)
    finally:
        part.unlink(missing_ok=True)


def _url_of(transport: Transport, file: Mapping[str, Any] | str) -> str:
    url = file if isinstance(file, str) else file.get("url")
    if not isinstance(url, str):
        raise ServerFault(200, "this is no file: it has no url")
    return transport.at_origin(url)
