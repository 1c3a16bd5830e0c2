"""The parts of a multipart/form-data body (RFC 7578), one after the other, as they come."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from gateway.http.errors import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOST_PARTS = 1000
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s";]{1,70}))', re.IGNORECASE)


class PartHead(NamedTuple):
    """What a part says of itself. `filename` is None of a field that is no file."""

    name: str
    filename: str | None
    content_type: str


class Multipart:
    """Reads a body's parts. The bytes of a part have to be taken before the next part is asked for.

    Holds no more than what has come in one piece.
    """

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        """Raises Problem 400 if the content type names no boundary."""
        from python_multipart.multipart import MultipartParser  # a gateway without a store needs none

        boundary = _BOUNDARY.search(content_type)
        if boundary is None:
            raise Problem(400, "multipart/form-data names no boundary of 1 to 70 characters")
        self._body = body
        self._events: deque[tuple[str, bytes]] = deque()
        self._is_over = False
        self._count = 0
        self._headers: dict[str, str] = {}
        self._header_name = self._header_value = b""
        self._parser = MultipartParser(
            boundary[1] or boundary[2],
            {
                "on_part_begin": lambda: self._events.append(("begin", b"")),
                "on_header_field": lambda data, start, end: self._events.append(("field", data[start:end])),
                "on_header_value": lambda data, start, end: self._events.append(("value", data[start:end])),
                "on_header_end": lambda: self._events.append(("header", b"")),
                "on_headers_finished": lambda: self._events.append(("data", b"")),
                "on_part_data": lambda data, start, end: self._events.append(("bytes", data[start:end])),
                "on_part_end": lambda: self._events.append(("end", b"")),
                "on_end": lambda: self._events.append(("over", b"")),
            },
        )

    async def next_part(self) -> PartHead | None:
        """The head of the next part; None after the last. Raises Problem 400."""
        while (event := await self._next()) is not None:
            match event:
                case "begin", _:
                    self._headers = {}
                    self._count += 1
                    if self._count > MOST_PARTS:
                        raise Problem(400, f"the form has more than {MOST_PARTS} parts")
                case "field", data:
                    self._header_name += data
                case "value", data:
                    self._header_value += data
                case "header", _:
                    self._headers[self._header_name.decode("latin-1").lower()] = self._header_value.decode("latin-1")
                    self._header_name = self._header_value = b""
                case "data", _:
                    return self._head()
        return None

    async def data(self) -> AsyncIterator[bytes]:
        """The bytes of the part whose head was returned last. Raises Problem 400."""
        while (event := await self._next()) is not None and event[0] != "end":
            yield event[1]

    def _head(self) -> PartHead:
        from python_multipart.multipart import parse_options_header

        disposition, options = parse_options_header(self._headers.get("content-disposition", ""))
        if disposition != b"form-data" or not options.get(b"name"):
            raise Problem(400, "a part of the form has no name (Content-Disposition: form-data; name=...)")
        filename = options.get(b"filename")
        content_type = self._headers.get("content-type", "")
        try:
            name = options[b"name"].decode()
        except UnicodeDecodeError:
            raise Problem(400, "the name of a part of the form is no UTF-8") from None
        return PartHead(name, None if filename is None else filename.decode(errors="replace"), content_type)

    async def _next(self) -> tuple[str, bytes] | None:
        """The next event; None after the last. Raises Problem 400 if the body is no form, or breaks off."""
        from python_multipart.exceptions import FormParserError

        while not self._events:
            if self._is_over:
                return None
            piece = await anext(self._body, None)
            try:
                if piece is None:
                    raise Problem(400, "the form ends before its last part does")
                self._parser.write(piece)
            except FormParserError as error:
                raise Problem(400, f"the body is no multipart/form-data: {error}") from None
        event = self._events.popleft()
        if event[0] == "over":
            self._is_over = True
            # What follows on the form is read and dropped, so that the connection can go on.
            async for _ in self._body:
                pass
            return None
        return event
