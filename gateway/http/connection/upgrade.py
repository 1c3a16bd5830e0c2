"""An upgrade that is not offered is ignored: the request is read on as if it had not asked (RFC 9110, 7.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_FRAMING = (b"content-length", b"transfer-encoding")


def new_parser(protocol: object) -> httptools.HttpRequestParser:
    """A parser that calls the protocol."""
    parser = httptools.HttpRequestParser(protocol)
    # What follows a request with `Connection: close` is no error: that request is answered.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def parser_of_rest(
    protocol: HttpToolsProtocol, headers: Iterable[tuple[bytes, bytes]]
) -> tuple[httptools.HttpRequestParser, bytes]:
    """A parser for what follows a head that asked for an upgrade, and what it must be fed first.

    What follows is a body as the headers say, then further requests. The parser that read that head takes everything
    after it for another protocol's.
    """
    framing = [name + b": " + value + b"\r\n" for name, value in headers if name in _FRAMING]
    return new_parser(_AfterHead(protocol)), b"".join([b"POST / HTTP/1.1\r\n", *framing, b"\r\n"])


class _AfterHead:
    """Passes a parser's calls on, except those for the head that the parser is fed first."""

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        self._protocol = protocol
        self._in_first_head = True
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete

    def on_message_begin(self) -> None:
        if not self._in_first_head:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._in_first_head:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_first_head:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._in_first_head:
            self._protocol.on_headers_complete()
        self._in_first_head = False
