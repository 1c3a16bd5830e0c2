"""Whatever else is on a connection, and however it arrives: what was accepted is answered, in order, and first."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.http.connection.wire import HEALTHZ, exchange, push_head, push_of

if TYPE_CHECKING:
    from tests.gateway.service import GatewayProcess
    from workers.stream import Stream

CHUNKED = push_head(b"Transfer-Encoding: chunked")
H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
WEBSOCKET = (
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: x",
    b"Sec-WebSocket-Version: 13",
)
# Requests that are whole, and what they are answered with.
WHOLE = {
    HEALTHZ: 200,
    b"\r\n" + HEALTHZ: 200,
    b"POST /push?input=a HTTP/1.1\r\nHost: x\r\n\r\n": 202,
    b"POST /push?input=a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n": 202,
    push_of(b'"a"'): 202,
    push_of(b'["GET / HTTP/1.1\\r\\n\\r\\n"]'): 202,
    push_of(b'"' + b"a" * 900 + b'"'): 202,
    push_of(b'"' + b"a" * 9000 + b'"'): 413,
    push_of(b"{"): 400,
    CHUNKED + b'3\r\n"a"\r\n0\r\n\r\n': 202,
    CHUNKED + b'1;x=y\r\n"\r\n1\r\na\r\n1\r\n"\r\n0\r\nIdempotency-Key: x\r\nAuthorization: y\r\n\r\n': 202,
    push_of(b'"a"', *H2C): 202,
    push_of(b'"a"', *WEBSOCKET): 202,
    push_head(b"Transfer-Encoding: chunked", *H2C) + b'3\r\n"a"\r\n0\r\n\r\n': 202,
    b"\r\n".join([b"GET /healthz HTTP/1.1", b"Host: x", *WEBSOCKET, b"", b""]): 200,
    b"GET /status/none HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc": 404,
}
# What may follow them: no request, or a part of one. It is answered with 400.
BROKEN = [
    b"xyz",
    b"\x00",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET /\xff HTTP/1.1\r\n\r\n",
    b"CONNECT example.com:443 HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    CHUNKED + b"xyz\r\n",
    CHUNKED + b'3\r\n"a"xyz\r\n',
    push_head(b"Content-Length: -3") + b'"a"',
    push_head(b"Content-Length: 3", b"Content-Length: 4") + b'"a"',
    push_head(b"Content-Length: 3", b"Transfer-Encoding: chunked") + b'3\r\n"a"\r\n0\r\n\r\n',
    push_head(b"Transfer-Encoding: chunked", *H2C) + b"xyz\r\n",
]
CUT_OFF = [b"GET /hea", b"GET /healthz HTTP/1.1\r\nHos", push_head(b"Content-Length: 9") + b'"a', CHUNKED + b'3\r\n"a']


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes, cut at these places."""
    places = sorted({cut % len(data) for cut in cuts} | {0, len(data)}) if data else [0, 0]
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(
    whole=st.lists(st.sampled_from(sorted(WHOLE)), max_size=8),
    rest=st.sampled_from([b"", *BROKEN, *CUT_OFF]),
    cuts=st.lists(st.integers(0, 100_000), max_size=6),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_accepted_is_answered_first_in_any_order_and_any_pieces(
    running: int, whole: list[bytes], rest: bytes, cuts: list[int]
) -> None:
    answers = exchange(running, pieces_of(b"".join(whole) + rest, cuts), half_close=rest not in BROKEN)

    assert [answer.status for answer in answers] == [WHOLE[request] for request in whole] + [400] * bool(rest)


@pytest.fixture
def running(shared: GatewayProcess) -> int:
    """The port of a gateway that answers."""
    deadline = time.monotonic() + 30
    while True:
        try:
            exchange(shared.port, [HEALTHZ], half_close=True)
        except ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return shared.port


@pytest.mark.parametrize("rest", [b"xyz", b"\x00\x00", b"xyz\r\n\r\n" + HEALTHZ])
@pytest.mark.parametrize("apart", [True, False])
async def test_a_push_with_bytes_behind_it_is_one_job_with_its_answer(
    gateway: GatewayProcess, stream: Stream, rest: bytes, apart: bool
) -> None:
    request = push_of(b'"a"')

    answers = exchange(gateway.port, [request, rest] if apart else [request + rest])

    assert [answer.status for answer in answers] == [202, 400]
    assert answers[1].headers[b"connection"] == b"close"
    [job] = await stream.claim("w", 10)
    assert job.id == orjson.loads(answers[0].body)["id"]
    assert orjson.loads(job.args) == ["a"]


@pytest.mark.parametrize("upgrade", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
async def test_an_upgrade_that_is_not_offered_is_ignored(
    gateway: GatewayProcess, stream: Stream, upgrade: tuple[bytes, ...]
) -> None:
    once = push_of(b'"once"', *upgrade)
    chunked = push_head(b"Transfer-Encoding: chunked", *upgrade) + b'7\r\n"twice"\r\n0\r\nX: y\r\n\r\n'
    without_body = b"\r\n".join([b"POST /push?input=thrice HTTP/1.1", b"Host: x", *upgrade, b"", b""])
    for pieces in ([once, chunked, without_body, HEALTHZ], [once + chunked + without_body + HEALTHZ]):
        answers = exchange(gateway.port, pieces, half_close=True)

        assert [answer.status for answer in answers] == [202, 202, 202, 200]
        assert all(b"upgrade" not in answer.headers for answer in answers)
        jobs = await stream.claim("w", 10)
        assert [orjson.loads(job.args) for job in jobs] == [["once"], ["twice"], ["thrice"]]


async def test_trailers_are_no_headers(gateway: GatewayProcess, stream: Stream) -> None:
    body = b'3\r\n"a"\r\n0\r\nIdempotency-Key: k\r\nPrefer: wait=300\r\n\r\n'

    first, second = exchange(gateway.port, [CHUNKED + body + CHUNKED + body], half_close=True)

    assert (first.status, second.status) == (202, 202)
    assert first.body != second.body
    assert (await stream.counts()).waiting == 2


async def test_a_client_that_closes_its_side_gets_its_answers(gateway: GatewayProcess) -> None:
    waiting = b"POST /push?input=a&wait=300 HTTP/1.1\r\nHost: x\r\n\r\n"

    answers = exchange(gateway.port, [waiting * 3 + HEALTHZ], half_close=True)

    # A client that has gone looks the same, so the waits end.
    assert [answer.status for answer in answers] == [202, 202, 202, 200]


async def test_a_pipeline_is_answered_in_order_however_long_it_is(gateway: GatewayProcess) -> None:
    requests = b"".join(b"GET /status/none-%d HTTP/1.1\r\nHost: x\r\n\r\n" % number + HEALTHZ for number in range(3000))

    answers = exchange(gateway.port, [requests], half_close=True)

    assert [answer.status for answer in answers] == [404, 200] * 3000


async def test_a_last_request_is_answered_and_what_follows_it_is_not(gateway: GatewayProcess) -> None:
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    for rest in (b"", HEALTHZ * 2000, b"xyz" * 100_000):
        answers = exchange(gateway.port, [HEALTHZ + last + rest])
        assert [answer.status for answer in answers] == [200, 200]


async def test_a_request_that_is_answered_early_leaves_the_connection_usable(gateway: GatewayProcess) -> None:
    large = push_of(b'"' + b"x" * 3_000_000 + b'"')
    pieces = [large[:2000], *pieces_of(large[2000:], [1_000_000, 2_000_000]), HEALTHZ]

    answers = exchange(gateway.port, pieces, half_close=True)

    assert [answer.status for answer in answers] == [413, 200]


async def test_an_early_answer_is_followed_by_no_other(gateway: GatewayProcess) -> None:
    # The body breaks after its answer: there is no request left that 400 could be the answer to.
    pieces = [CHUNKED + b'7d0\r\n"' + b"x" * 1999 + b"\r\n", b"nonsense\r\n"]

    assert [answer.status for answer in exchange(gateway.port, pieces, pause_s=0.2)] == [413]
