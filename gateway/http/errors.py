"""Errors as problem documents (RFC 9457), by exception class."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from workers.objects.errors import StoreUnavailable
from workers.stream import bad_server, is_out_of_memory, is_unavailable, reason

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 2
CLIENT_CLOSED_REQUEST = 499  # only the metrics see it: the client is gone
_SENTENCES = {404: "there is nothing at this path", 405: "this path does not take this method"}


class Problem(Exception):  # noqa: N818
    """Answers a request with `status` and one sentence, `detail`; `members` are added to the document."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.members = members

    @property
    def title(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase

    def response(self) -> Response:
        """The document, as application/problem+json."""
        document = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }
        return Response(orjson.dumps(document), self.status, self.headers, "application/problem+json")


def unavailable(detail: str) -> Problem:
    """503 with Retry-After: the same request may succeed later."""
    return Problem(503, detail, {"Retry-After": str(RETRY_AFTER_S)})


def error_response(error: Exception, request_id: bytes) -> Response:
    """What the client is told of `error`. An unexpected error is logged; its answer (500) tells nothing of it."""
    if isinstance(error, Problem):
        return error.response()
    if isinstance(error, HTTPException):
        detail = _SENTENCES.get(error.status_code, error.detail)
        return Problem(error.status_code, detail, error.headers).response()
    if isinstance(error, ClientDisconnect):
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    if isinstance(error, StoreUnavailable):
        return unavailable(str(error)).response()
    if is_unavailable(error) or is_out_of_memory(error) or bad_server(error):
        return unavailable(reason(error)).response()
    logger.error("unexpected error in request %s", request_id.decode(), exc_info=error)
    return Problem(500, "internal error").response()
