"""One HTTP request, as the endpoints see it."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect

from gateway.http.errors import Problem
from gateway.http.request_id import is_safe, new_request_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from starlette.types import Receive, Scope
    from uvicorn.protocols.http.flow_control import FlowControl

NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""A number in a query: JSON's, without a sign."""
_MOST_SHOWN = 5
_MOST_SHOWN_CHARS = 40


class HttpRequest:
    """Reads one request's query, headers and body. Starlette's `Request` would cost more than the rest of a push.

    `header` gives the last value of a name that comes more than once. `id` is the client's X-Request-ID, or a new one.
    """

    __slots__ = ("_headers", "_receive", "_repeated", "_scope", "has_own_id", "id", "query")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self.query, self._repeated = _parse(scope["query_string"])
        own_id = self._headers.get(b"x-request-id")
        self.has_own_id = own_id is not None and is_safe(own_id)
        self.id: bytes = own_id if own_id is not None and self.has_own_id else new_request_id()

    def check_query(self, names: frozenset[str]) -> None:
        """Raises Problem 400 if the query has a parameter that is not one of `names`, or has one twice."""
        if self._repeated:
            text = f"a query parameter is given more than once: {_shown(self._repeated)}"
            raise Problem(400, text, parameters=_cut(self._repeated))
        if not self.query.keys() <= names:
            taken = ", ".join(sorted(names)) or "none"
            unknown = sorted(self.query.keys() - names)
            text = f"unknown query parameter: {_shown(unknown)}; taken here: {taken}"
            raise Problem(400, text, parameters=_cut(unknown))

    @property
    def query_string(self) -> bytes:
        """The query as it was sent, percent-encoded."""
        query_string: bytes = self._scope["query_string"]
        return query_string

    @property
    def job_id(self) -> str:
        """The path's `{id}`."""
        return self.path_parameter("id")

    @property
    def path_parameters(self) -> dict[str, str]:
        """The parts of the path that the route names; none on the way past the routes."""
        parameters: dict[str, str] = self._scope.get("path_params", {})
        return parameters

    def path_parameter(self, name: str) -> str:
        """A part of the path, by its name in the route."""
        value: str = self._scope["path_params"][name]
        return value

    def header(self, name: bytes) -> str | None:
        """A header's value, by its name in lower case."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    def headers(self, name: bytes) -> list[str]:
        """The values of all headers of a name (in lower case)."""
        return [value.decode("latin-1") for key, value in self._scope["headers"] if key == name]

    async def body(self) -> AsyncIterator[bytes]:
        """The body, in the pieces that arrive. Raises ClientDisconnect."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            yield message.get("body", b"")
            if not message.get("more_body", False):
                return

    @property
    def has_body(self) -> bool:
        """Whether the head announces a body."""
        headers = self._headers
        return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers

    @property
    def is_whole(self) -> bool:
        """Whether the body has arrived, so that `whole_body` need not wait."""
        return bool(self._scope["state"].get("whole"))

    async def whole_body(self) -> bytes:
        """The body in one piece. Raises ClientDisconnect."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body: bytes = message["body"]
        return body

    @property
    def half_closed(self) -> bool:
        """Whether the client has closed its side of the connection; it may be gone, or read the answer."""
        return bool(self._scope["state"].get("half_closed"))

    @property
    def gone(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return bool(self._scope["state"].get("gone"))

    @property
    def has_left(self) -> bool:
        """Whether the client has gone or closed its side."""
        return self.half_closed or self.gone

    def on_leave(self, call: Callable[[], object]) -> None:
        """Calls it when the client goes or closes its side. It costs less memory than a task with `disconnected`."""
        self._scope["state"]["on_leave"] = call

    @property
    def is_behind(self) -> bool:
        """Whether the client has not taken yet what was sent: the next `send` would wait for it."""
        flow: FlowControl | None = self._scope["state"].get("flow")
        return flow is not None and flow.write_paused

    @contextlib.contextmanager
    def past_flow_control(self) -> Iterator[None]:
        """Within the block, `send` does not wait for the client. For a few last bytes."""
        flow: FlowControl | None = self._scope["state"].get("flow")
        if flow is None or not flow.write_paused:
            yield
            return
        flow.resume_writing()
        yield
        # The transport has not said anything meanwhile: it will when the client has read enough.
        flow.pause_writing()

    async def disconnected(self) -> None:
        """Returns when the client has gone or closed its side, or the request has been answered."""
        while (await self._receive())["type"] != "http.disconnect" and not self.half_closed:
            pass


def _parse(query_string: bytes) -> tuple[dict[str, str], list[str]]:
    """Values by name, and the names that come more than once."""
    if not query_string:
        return {}, []
    query = query_string.decode("latin-1")
    if "&" not in query and "%" not in query and "+" not in query:  # as most are
        name, _, value = query.partition("=")
        return {name: value}, []
    if "%" in query or "+" in query:
        pairs = parse_qsl(query, keep_blank_values=True)
    else:
        # Without encoded characters this gives the same as parse_qsl, in a third of the time.
        pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    values = dict(pairs)
    if len(values) == len(pairs):
        return values, []
    return values, sorted(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)


def _shown(names: list[str]) -> str:
    """The first few names, each cut."""
    return ", ".join(map(repr, _cut(names))) + (", ..." if len(names) > _MOST_SHOWN else "")


def _cut(names: list[str]) -> list[str]:
    short = [name if len(name) <= _MOST_SHOWN_CHARS else name[: _MOST_SHOWN_CHARS - 3] + "..." for name in names]
    return [name.encode(errors="replace").decode() for name in short[:_MOST_SHOWN]]
