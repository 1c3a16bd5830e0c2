"""Bodies that are no plain JSON in UTF-8, and lengths that are none: refused, with a sentence that says what to do."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.gateway.http.connection.wire import exchange, push_head, push_of
from tests.gateway.service import problem, status_of

if TYPE_CHECKING:
    import aiohttp

    from tests.gateway.service import GatewayProcess
    from workers.stream import Stream

JSON = {"Content-Type": "application/json"}
UTF8_ONLY = "send JSON in UTF-8"


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "GZIP", "x" * 200])
async def test_a_compressed_body_is_refused_with_what_to_do(http: aiohttp.ClientSession, coding: str) -> None:
    response = await http.post("/push", data=gzip.compress(b'"a"'), headers={**JSON, "Content-Encoding": coding})

    status, detail = await problem(response)
    assert (status, response.headers["Accept-Encoding"]) == (415, "identity")
    assert detail.startswith(f"a body with Content-Encoding {coding[:90]!r}"[:40])
    assert detail.endswith("is not taken: send it uncompressed, without that header")
    assert len(detail) < 250


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
async def test_another_encoding_is_named_and_refused(http: aiohttp.ClientSession, codec: str) -> None:
    status, detail = await problem(await http.post("/push", data='"größe"'.encode(codec), headers=JSON))

    assert status == 400
    assert UTF8_ONLY in detail


@pytest.mark.parametrize("charset", ["utf-16", "iso-8859-1", '"windows-1252"', "x" * 5000])
async def test_another_charset_is_named_and_refused(http: aiohttp.ClientSession, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}

    status, detail = await problem(await http.post("/push", data=b'"a"', headers=headers))

    assert status == 415
    assert charset.strip('"')[:50] in detail
    assert len(detail) < 250


@pytest.mark.parametrize("charset", ["utf-8", '"UTF-8"', "utf8", "us-ascii"])
async def test_utf_8_may_be_named(http: aiohttp.ClientSession, stream: Stream, charset: str) -> None:
    headers = {"Content-Type": f"application/json ; charset={charset}", "Content-Encoding": "identity"}

    assert await status_of(http.post("/push", data='"größe"'.encode(), headers=headers)) == 202
    [job] = await stream.claim("w", 1)
    assert orjson.loads(job.args) == ["größe"]


@pytest.mark.parametrize("zeros", [1, 20, 4400, 60_000])
async def test_a_length_may_begin_with_zeros(gateway: GatewayProcess, stream: Stream, zeros: int) -> None:
    for length, status in ((b"3", 202), (b"9999", 413)):
        head = push_head(b"Content-Length: " + b"0" * zeros + length)
        [answer] = exchange(gateway.port, [head + b'"a"'.ljust(int(length))], half_close=True)
        assert answer.status == status
    assert (await stream.counts()).waiting == 1


@pytest.mark.parametrize(
    "length", [b"-3", b"+3", b"0x3", b"3.0", b"3, 3", b"", b"\xb2", b"9" * 30, b"9" * 5000, b"3\r\nContent-Length: 4"]
)
async def test_a_length_that_is_none_is_refused(gateway: GatewayProcess, length: bytes) -> None:
    [answer] = exchange(gateway.port, [push_head(b"Content-Length: " + length) + b'"a"'])

    assert answer.status == 400
    assert b"Content-Length" in orjson.loads(answer.body)["detail"].encode()


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"identity", b"chunked, chunked", b"x" * 5000])
async def test_another_transfer_coding_is_refused(gateway: GatewayProcess, coding: bytes) -> None:
    body = b'3\r\n"a"\r\n0\r\n\r\n'

    answers = exchange(gateway.port, [push_head(b"Transfer-Encoding: " + coding), body], half_close=True)

    assert answers[0].status == 400
    assert "Transfer-Encoding" in orjson.loads(answers[0].body)["detail"]


@pytest.mark.parametrize("size", [b"xyz", b"-1", b"", b" 3", b"0x3", b"f" * 30, b"f" * 5000, b"3\n"])
async def test_a_chunk_size_that_is_none_is_refused(gateway: GatewayProcess, stream: Stream, size: bytes) -> None:
    [answer] = exchange(gateway.port, [push_head(b"Transfer-Encoding: chunked") + size + b'\r\n"a"\r\n0\r\n\r\n'])

    assert answer.status == 400
    assert orjson.loads(answer.body)["detail"].startswith("this is no valid HTTP/1.1 request: ")
    assert (await stream.counts()).waiting == 0


async def test_two_lengths_are_refused(gateway: GatewayProcess, stream: Stream) -> None:
    chunked = b"Transfer-Encoding: chunked"
    for headers in ((b"Content-Length: 3", chunked), (chunked, b"Content-Length: 3")):
        [answer] = exchange(gateway.port, [push_head(*headers) + b'3\r\n"a"\r\n0\r\n\r\n'])
        assert answer.status == 400
    [answer] = exchange(gateway.port, [push_of(b'"a"', b"Content-Length: 3")])
    assert answer.status == 400
    assert (await stream.counts()).waiting == 0
