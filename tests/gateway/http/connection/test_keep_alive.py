"""An idle connection ends after KEEP_ALIVE_S. A client that uses it again at that moment loses as little as can be."""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.gateway.http.connection.wire import PATIENCE_S, answers_in
from tests.gateway.service import GatewayProcess, samples

if TYPE_CHECKING:
    from workers.stream import Stream, StreamSettings

KEEP_ALIVE_S = 1.0
PUSH = b"POST /push?input=hello HTTP/1.1\r\nHost: x\r\n\r\n"


class PooledConnection:
    """A connection that a client keeps and uses again, until it sees that the server has ended it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self) -> None:
        """Sends a push."""
        self._socket.sendall(PUSH)

    @property
    def has_ended(self) -> bool:
        """Whether the server's FIN has arrived. Raises ConnectionResetError."""
        readable, _, _ = select.select([self._socket], [], [], 0)
        return bool(readable) and not self._socket.recv(1, socket.MSG_PEEK)

    def is_answered(self) -> bool:
        """Whether the push is accepted; False if the connection ends without a byte. Raises ConnectionResetError."""
        received = b""
        while not received.endswith(b"}"):
            if not (data := self._socket.recv(65_536)):
                assert received == b""
                return False
            received += data
        [answer] = answers_in(received)
        assert answer.status == 202
        return True

    def close(self) -> None:
        self._socket.close()


def used_once(port: int, count: int, pause_s: float = 0.0) -> list[PooledConnection]:
    """Connections that are idle since their first answer, each for `pause_s` less than the one before."""
    pool = [PooledConnection(port) for _ in range(count)]
    for connection in pool:
        connection.send()
        assert connection.is_answered()
        time.sleep(pause_s)
    return pool


def use_again(port: int, count: int) -> Counter[str]:
    """Uses connections again about when the server ends them; how many requests were answered, lost, or not sent."""
    seen: Counter[str] = Counter()
    pool = [(time.monotonic() + KEEP_ALIVE_S + random.uniform(-0.1, 0.2), one) for one in used_once(port, count)]
    sent = []
    for due_s, connection in sorted(pool, key=lambda pair: pair[0]):
        time.sleep(max(0.0, due_s - time.monotonic()))
        if connection.has_ended:
            seen["not sent"] += 1
        else:
            connection.send()
            sent.append(connection)
    for connection in sent:
        seen["answered" if connection.is_answered() else "lost"] += 1
    for _, connection in pool:
        connection.close()
    return seen


async def test_a_push_at_the_end_of_a_connection_is_never_reset_and_never_done_in_secret(
    settings: StreamSettings, stream: Stream
) -> None:
    """One that crosses the server's FIN gets no answer. Then it is no job, so it may be sent again."""
    async with GatewayProcess(settings, KEEP_ALIVE_S=str(KEEP_ALIVE_S)) as gateway:
        seen: Counter[str] = Counter()
        while not (seen["answered"] and seen["not sent"]):
            seen += await asyncio.to_thread(use_again, gateway.port, 100)
        pushes = (await samples(gateway.http))["leadtime_pushes_total['accepted']"]
    assert pushes == seen.total() + seen["answered"]


async def test_what_has_arrived_before_the_end_of_a_connection_is_answered(
    settings: StreamSettings, stream: Stream
) -> None:
    """Also if the gateway, held up, first looks at its clock and then at its sockets."""
    async with GatewayProcess(settings, KEEP_ALIVE_S=str(KEEP_ALIVE_S)) as gateway:
        sent = unanswered = 0
        while not sent:
            pool = await asyncio.to_thread(used_once, gateway.port, 60, 0.003)
            await asyncio.sleep(KEEP_ALIVE_S - 0.05)  # the first of them are about to end
            gateway.process.send(signal.SIGSTOP)
            await asyncio.to_thread(os.waitid, os.P_PID, gateway.process.pid, os.WSTOPPED | os.WNOWAIT)
            open_still = [connection for connection in pool if not connection.has_ended]
            for connection in open_still:
                connection.send()
            await asyncio.sleep(0.5)  # now the time of all is over
            gateway.process.send(signal.SIGCONT)
            sent += len(open_still)
            unanswered += [await asyncio.to_thread(connection.is_answered) for connection in open_still].count(False)
            for connection in pool:
                connection.close()
    # To look and to end are two system calls: the stop may have come between them, for one connection.
    assert unanswered <= 1
