"""Answers to requests that reach no endpoint: what is wrong with them, and the bytes that say so."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import httptools

from gateway.http.cors import refusal_headers
from gateway.http.errors import Problem
from gateway.http.request_id import id_of_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES = 65_536
MAX_HEADERS = 200


def ended_early() -> Problem:
    """For a client that has closed its side of the connection within a request."""
    return Problem(400, "the connection ended within a request")


def too_large_head() -> Problem:
    """For more than MAX_HEAD_BYTES or MAX_HEADERS."""
    return Problem(
        431,
        f"the head of the request is larger than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers: "
        "send the input as a body",
    )


def check_hosts(headers: Sequence[tuple[bytes, bytes]], http_version: str) -> None:
    """Raises Problem 400 for a request with several Host headers, or with none (RFC 9112, 3.2); HTTP/1.0 needs none."""
    count = sum(name == b"host" for name, _ in headers)
    if count > 1 or (not count and http_version == "1.1"):
        raise Problem(400, f"the request has {count or 'no'} Host headers; HTTP/1.1 wants one")


def not_parsed(error: httptools.HttpParserError) -> Problem:
    """For a request that can't be parsed."""
    if isinstance(error, httptools.HttpParserCallbackError):
        if isinstance(error.__context__, Problem):
            return error.__context__
        if not isinstance(error.__context__, httptools.HttpParserInvalidURLError | UnicodeDecodeError):
            logger.warning("a request's target can't be used", exc_info=error)
        return Problem(400, "the request's target is no path")
    reason = "HTTP/2 is not offered" if "PRI" in str(error) else str(error)
    return Problem(400, f"this is no valid HTTP/1.1 request: {reason}")


def for_request(problem: Problem, headers: Sequence[tuple[bytes, bytes]], origins: Sequence[str]) -> Problem:
    """The same problem with the headers of an answer to a request with these headers. `origins` may read it."""
    named = {"X-Request-ID": id_of_headers(headers).decode()}
    allowed = refusal_headers(origins, headers) if origins else {}
    problem.headers = {**(problem.headers or {}), **named, **allowed}
    return problem


def response_bytes(problem: Problem) -> bytes:
    """The whole response, the last of its connection."""
    response = problem.response()
    head = [f"HTTP/1.1 {problem.status} {problem.title}".encode(), b"connection: close"]
    head += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join([*head, b"", bytes(response.body)])
