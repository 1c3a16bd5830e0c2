"""The HTTP/1.1 protocol of uvicorn, with limits on the head of a request and on the time it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.http.errors import Problem

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import HTTPScope

MAX_HEAD_BYTES = 65_536
HEAD_TIMEOUT_S = 20.0
LINGER_S = 2.0


class LimitedProtocol(HttpToolsProtocol):
    """Closes a connection whose request's head is too long (431) or too slow (408)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head: HTTPScope | None = None
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._refused = False

    @property
    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the timer of the first head: a client that connects and sends nothing is refused, too."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._on_slow_head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Limits a head that arrives in pieces. A head in one piece costs next to nothing."""
        if self._refused:
            return
        super().data_received(data)
        # uvicorn makes a scope at a head's first byte, and a cycle with that scope once the head is complete.
        scope: HTTPScope | None = self.scope
        cycle: RequestResponseCycle | None = self.cycle
        if scope is None or (cycle is not None and cycle.scope is scope):
            if self._head_timer is not None and scope is not None:
                self._cancel_head_timer()
        elif not self.transport.is_closing():
            self._await_head(scope, len(data))

    def _await_head(self, scope: HTTPScope, size_bytes: int) -> None:
        if self._head is scope:
            self._head_bytes += size_bytes
        else:
            # This piece may begin with the end of an earlier request, so it does not count.
            self._head, self._head_bytes = scope, 0
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(
                Problem(431, f"the head of the request is larger than {MAX_HEAD_BYTES} bytes: send the input as a body")
            )
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._on_slow_head)

    def send_400_response(self, msg: str) -> None:
        """Answers what could not be parsed with a problem document."""
        self._refuse(Problem(400, msg.rstrip(".")))

    def _on_slow_head(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._refuse(Problem(408, f"the head of the request took longer than {HEAD_TIMEOUT_S:g} s"))

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, problem: Problem) -> None:
        self._refused = True
        self._cancel_head_timer()
        # An answer that is on its way must not be cut in two.
        if not self._answering:
            response = problem.response()
            head = [f"HTTP/1.1 {problem.status} {problem.title}".encode(), b"connection: close"]
            head += [name + b": " + value for name, value in response.raw_headers]
            self.transport.write(b"\r\n".join([*head, b"", bytes(response.body)]))
        # A connection that is closed with unread bytes is reset, and the client might see the reset, not the answer.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)
