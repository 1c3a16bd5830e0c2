"""The HTTP/1.1 protocol of uvicorn, with bounds on all that a client can send, leave unread, or be slow with."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.http.connection.refusal import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    check_hosts,
    ended_early,
    for_request,
    not_parsed,
    response_bytes,
    too_large_head,
)
from gateway.http.connection.transport import (
    ReadFlow,
    RequestTransport,
    SendWatch,
    abort,
    end_sending,
    has_unread,
    keep_kernel_buffer_small,
)
from gateway.http.connection.upgrade import new_parser, parser_of_rest
from gateway.http.errors import Problem, unavailable

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGI3Application, HTTPScope

    from gateway.http.connection.connections import Connections

LINGER_S = 2.0
STOP_LINGER_S = 0.2
# An idle connection is closed this long after its time: what has arrived by then is still served.
_LAST_LOOK_S = 0.05
# Bytes are parsed in pieces of this size, so that few requests of a pipeline are parsed before their turn.
_PIECE_BYTES = 1024
# Above this, what waits to be parsed stays in the kernel. Below, the end of the connection is seen while it waits.
_UNREAD_BYTES = 16_384
_REQUEST_BYTES = 2048  # what a request that is parsed takes
_WRITE_BUFFER_BYTES = 2048
# A client that has sent or read something within this time is moving.
_MOVING_S = 0.25


class _Life(Enum):
    """What a connection does with what it reads. The order is the only one possible."""

    OPEN = auto()  # parses it
    REFUSING = auto()  # drops it: what was accepted is answered, then the refusal is sent
    LINGERING = auto()  # drops it: everything is sent, and the client may read it before the connection is closed
    LOST = auto()


_ENDS = (_Life.LINGERING, _Life.LOST)


class _Dropped(list[tuple[bytes, bytes]]):
    """Headers that nobody reads: a chunked body's trailers."""

    def append(self, _header: tuple[bytes, bytes]) -> None:
        """Drops it."""


_DROPPED = _Dropped()


class LimitedProtocol(HttpToolsProtocol):
    """One connection. What was accepted is answered before the connection is refused anything, or closed.

    A message is open from its first byte to its last. `scope` is the open message's; without one it is None.
    """

    scope: HTTPScope | None  # type: ignore[assignment]
    cycle: RequestResponseCycle | None  # type: ignore[assignment]

    def __init__(self, *args: Any, connections: Connections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = new_parser(self)
        self._shared = connections
        self._budget = connections.budget
        self._life = _Life.OPEN
        self._running: RequestResponseCycle | None = None  # `cycle` is the one parsed last
        self._refusal: Problem | None = None
        self._unread = b""  # arrived, but not parsed: it is not its turn
        self._in_bytes = self._out_bytes = 0  # held for this client
        self._head_bytes = 0  # of the open message's head, or since its body's last byte
        self._timer: asyncio.TimerHandle | None = None
        self._is_half_closed = False
        self._is_last = False  # the server stops: the next request is the last
        self._linger_s = LINGER_S
        self._idle_since_s = self._moved_s = self.loop.time()
        self._socket: asyncio.Transport  # `transport` is what requests see of it
        self._watch: SendWatch
        self.flow: ReadFlow

    # what the transport calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the timer of the first head: a client that connects and sends nothing is refused, too."""
        super().connection_made(transport)
        self._socket = transport
        self.transport = cast("asyncio.Transport", RequestTransport(transport, self._on_request_end))
        self.flow = ReadFlow(transport)
        self._watch = SendWatch(self.loop, transport, self._shared.write_timeout_s, self._on_stall)
        transport.set_write_buffer_limits(_WRITE_BUFFER_BYTES)
        keep_kernel_buffer_small(transport)
        self._start_timer()
        over = len(self.connections) - self._shared.most
        if over > 0:
            others = [one for one in self.connections if isinstance(one, LimitedProtocol) and one is not self]
            if not self._shared.make_place(others, self.loop.time()):
                if over > self._shared.most_refused:
                    self._linger_s = 0
                self._refuse(unavailable("there are too many connections"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets all requests of the connection know."""
        self._life = _Life.LOST
        self._stop_timer()
        self._watch.stop()
        self._budget.release(self)
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        self._unread = b""
        if self._running is not None:
            _disconnect(self._running)
        super().connection_lost(exc)
        # These refer to the connection. Circles would wait for the garbage collector, which comes seldom.
        del self.parser, self.transport, self._watch
        self.cycle = self._running = None

    def data_received(self, data: bytes) -> None:
        """Parses what may be parsed now. A request in one small piece costs next to nothing beyond that."""
        if self._life is not _Life.OPEN:
            return
        if len(data) <= _PIECE_BYTES and not (self._unread or self.pipeline):
            self._parse(data)
            if self.scope is not None or self.pipeline:
                self._count(len(data))
                self._settle()
        else:
            # Counted before it is parsed: a request that is complete could not be refused any more.
            self._count(len(data))
            if self._life is _Life.OPEN:
                self._unread += data
                self._parse_unread()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Answers what is complete. A client may close its side of the connection, and still read."""
        self._is_half_closed = True
        if self.scope is not None and not self._unread:
            self._refuse(ended_early())
        if self._life is _Life.LINGERING or not self._answering:
            return None
        if self._running is not None:
            _half_close(self._running)
            self._running.message_event.set()
        return None if self.scheme == "https" else True  # TLS can't be closed by halves

    def pause_writing(self) -> None:
        """Counts what the client has not read, and watches whether it reads."""
        super().pause_writing()
        self._out_bytes = self._socket.get_write_buffer_size()
        self._watch.start()
        self._hold()

    def resume_writing(self) -> None:
        """The client has read nearly all."""
        super().resume_writing()
        self._out_bytes = 0
        self._hold()
        if self._life is not _Life.LINGERING:
            self._watch.stop()

    def shutdown(self) -> None:
        """The server stops: ends the connection once what has arrived is answered."""
        self._linger_s = STOP_LINGER_S
        self._is_last = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif self._life is _Life.OPEN:
            self._end_if_idle()

    # what the parser calls

    def on_headers_complete(self) -> None:
        if [name for name, _ in self.headers].count(b"host") != 1:
            check_hosts(self.headers, self.parser.get_http_version())
        cast("HTTPScope", self.scope)["state"].update(flow=self.flow, transport=self.transport)
        super().on_headers_complete()
        self.headers = _DROPPED
        if self._is_last and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # its body is still to come; see _parse
        self.scope = None
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.more_body = False
            cycle.scope["state"]["whole"] = True
            cycle.message_event.set()

    # parsing

    def _parse(self, data: bytes | memoryview) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = bytes(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(not_parsed(error))
            return
        else:
            if self.scope is None:
                self._head_bytes = 0
            else:
                self._await_rest(len(data))
            return
        cycle = cast("RequestResponseCycle", self.cycle)  # that of the head
        self.parser, head = parser_of_rest(self, cycle.scope["headers"])
        self._parse(head + rest)

    def _await_rest(self, size_bytes: int) -> None:
        """Bounds the head and the trailers of the open message, and the time that it may take to become whole."""
        self._head_bytes += size_bytes
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            self._refuse(too_large_head())
            return
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope or cycle.response_complete:
            self._start_timer()
        elif self._timer is not None:
            self._stop_timer()  # the endpoint that reads the body has a time limit

    def _parse_unread(self) -> None:
        """Parses on until a request has to wait for the answer to another, or nothing is left."""
        data, done = memoryview(self._unread), 0
        while done < len(data) and not self.pipeline and self._life is _Life.OPEN:
            self._parse(data[done : done + _PIECE_BYTES])
            done += _PIECE_BYTES
        if self._life is _Life.OPEN:
            self._unread = bytes(data[done:])
            self._settle()

    def _settle(self) -> None:
        """Reads on unless too much waits for its turn, and forgets what is held no more."""
        self.flow.has_enough = len(self._unread) > _UNREAD_BYTES
        if self.flow.has_enough:
            self.flow.pause_reading()
        elif self.pipeline:
            self.flow.resume_reading()
        elif not self._answering:
            self.flow.resume_reading()
            cycle = self.cycle
            if self.scope is None or (cycle is not None and cycle.scope is self.scope):
                self._in_bytes = 0  # nothing is open, or a body that nobody reads
                self._hold()

    # what is held

    def _count(self, size_bytes: int) -> None:
        self._in_bytes += size_bytes
        self._moved_s = self.loop.time()
        self._hold()

    def _hold(self) -> None:
        size_bytes = self._in_bytes + self._out_bytes + _REQUEST_BYTES * len(self.pipeline)
        if size_bytes and self._life is not _Life.LOST:
            self._budget.hold(self, size_bytes)
        else:
            self._budget.release(self)

    def is_moving(self) -> bool:
        """See `Holder`."""
        now_s = self.loop.time()
        if self._out_bytes and self._watch.has_moved():
            self._moved_s = now_s
        return now_s < self._moved_s + _MOVING_S

    def give_way(self) -> bool:
        """See `Holder`. A complete request goes on: it is answered soon, and may have been accepted."""
        if self._out_bytes:
            self._out_bytes = 0
            self._hold()
            self._abort()
            return True
        if self._life is _Life.OPEN and (self.scope is not None or self._unread or self.pipeline):
            self._in_bytes = 0
            self.pipeline.clear()
            self._refuse(unavailable("the gateway holds too much that others have not sent or read yet"))
            return True
        return False

    def _on_stall(self) -> None:
        self._budget.cuts["write timeout"] += 1
        self._abort()

    def _abort(self) -> None:
        self._life = _Life.LINGERING
        self._stop_timer()
        abort(self._socket)

    @property
    def quiet_since_s(self) -> float | None:
        """See `IdleConnection`."""
        if self._life is not _Life.OPEN or self._answering:
            return None
        return self._idle_since_s if self._timer is None else self._timer.when() - self._shared.head_timeout_s

    def leave(self) -> bool:
        """See `IdleConnection`."""
        if has_unread(self._socket):
            return False
        self._end()
        self._socket.close()
        return True

    # answering

    @property
    def _is_busy(self) -> bool:
        return self._answering or self.scope is not None

    @property
    def _answering(self) -> bool:
        """Whether a request that was accepted has not been answered yet."""
        running = self._running
        return bool(self.pipeline) or (
            running is not None and not running.response_complete and not running.disconnected
        )

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        if self._timer is not None:
            self._stop_timer()
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """Begins the next request, or waits for one, or ends the connection if it was to be ended."""
        if self._life in _ENDS:
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since_s = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self._watch_idleness(self.timeout_keep_alive)
        if self.flow.read_paused:
            self.flow.resume_reading()
        if (
            self._in_bytes
            or self.scope is not None
            or self.flow.has_enough
            or self._is_half_closed
            or self._life is _Life.REFUSING
        ):
            self._after_answer()

    def _after_answer(self) -> None:
        # What is held is now what waits for its turn, and a head that is not whole.
        self._in_bytes = len(self._unread) + self._head_bytes + sum(len(cycle.body) for cycle, _ in self.pipeline)
        self._hold()
        if self._life is _Life.OPEN:
            self._settle()
            if self._unread and not self.pipeline:
                self._parse_unread()
        if self._answering:
            if self._is_half_closed and self._running is not None:
                _half_close(self._running)
            return
        if self._is_half_closed and self.scope is not None:
            self._refuse(ended_early())
        elif self._life is _Life.REFUSING or self._is_half_closed:
            self._end()
        elif self.scope is not None:
            # Answered before it was whole. The rest is dropped, within the time of a head.
            self._start_timer()

    # the end

    def _on_request_end(self) -> None:
        # The answer has said that it is the last.
        self._refusal = None
        self._end()

    def _watch_idleness(self, delay_s: float) -> None:
        # One timer for many requests: one for each would cost a twentieth of a push.
        self.timeout_keep_alive_task = self.loop.call_later(delay_s, self._look_whether_idle)

    def _look_whether_idle(self) -> None:
        if self._life is not _Life.OPEN:
            return
        if self._is_busy:
            self._watch_idleness(self.timeout_keep_alive)
        elif (left_s := self._idle_since_s + self.timeout_keep_alive - self.loop.time()) > 0:
            self._watch_idleness(left_s)
        else:
            self._end_if_idle()

    def _end_if_idle(self) -> None:
        """Ends the connection after a last look at what has arrived: timers run before sockets are read."""
        self.loop.call_later(_LAST_LOOK_S, self._end_unless_busy)

    def _end_unless_busy(self) -> None:
        if self._life is _Life.OPEN:
            if self._is_busy or has_unread(self._socket):
                self._watch_idleness(self.timeout_keep_alive)
            else:
                self._end(was_idle=True)

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self._shared.head_timeout_s, self._on_slow_message)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_slow_message(self) -> None:
        self._timer = None
        self._refuse(Problem(408, f"the head of the request took longer than {self._shared.head_timeout_s:g} s"))

    def _refuse(self, problem: Problem) -> None:
        """Reads no more. Answers the open message with `problem`, once everything before it has been answered."""
        if self._life is not _Life.OPEN:
            return
        self._life = _Life.REFUSING
        self._stop_timer()
        self._unread = b""
        refusal = for_request(problem, self._open_headers(), self._shared.origins)
        self._refusal = None if self._drop_open_message() else refusal
        if not self._answering:
            self._end()

    def _open_headers(self) -> list[tuple[bytes, bytes]]:
        """What is known of the open message's headers."""
        cycle = self.cycle
        if cycle is not None and self.scope is not None and cycle.scope is self.scope:
            return list(cycle.scope["headers"])
        return self.headers or []

    def _drop_open_message(self) -> bool:
        """Takes the open message from its endpoint. True if it has been answered already, or nearly."""
        scope, self.scope = self.scope, None
        cycle = self.cycle
        if cycle is None or scope is None or cycle.scope is not scope:
            return False
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
        elif cycle.response_started:
            return True
        else:
            _disconnect(cycle)
        return False

    def _end(self, was_idle: bool = False) -> None:
        """Sends the refusal if there is one, and nothing more; closes the connection when the client has read it."""
        if self._life in _ENDS:
            return
        self._life = _Life.LINGERING
        self._stop_timer()
        self._unread = b""
        self._in_bytes = 0
        self._hold()
        if self._socket.is_closing():
            return
        refusal = self._refusal
        if refusal is not None:
            self._shared.on_refused(refusal.status)
            self._socket.write(response_bytes(refusal))
        self._watch.start()  # closing waits for the client to read, which some never do
        if self._is_half_closed or (refusal is None and not self._socket.can_write_eof()):
            self._socket.close()
            return
        # A connection that is closed with unread bytes is reset, and the client might see the reset, not the answer.
        if self._socket.can_write_eof():
            if was_idle:
                end_sending(self._socket)
            else:
                self._socket.write_eof()
        self.flow.has_enough = False
        self.flow.resume_reading()
        self._timer = self.loop.call_later(self._linger_s, self._socket.close)


def _disconnect(cycle: RequestResponseCycle) -> None:
    """Lets a request's endpoint end without an answer."""
    if not cycle.response_complete:
        cycle.disconnected = True
        cycle.scope["state"]["gone"] = True
        cycle.body = bytearray()
        cycle.message_event.set()
        _tell_of_leave(cycle)


def _half_close(cycle: RequestResponseCycle) -> None:
    cycle.scope["state"]["half_closed"] = True
    _tell_of_leave(cycle)


def _tell_of_leave(cycle: RequestResponseCycle) -> None:
    on_leave = cycle.scope["state"].get("on_leave")
    if on_leave is not None:
        on_leave()
