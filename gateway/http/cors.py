"""CORS (the Fetch standard): which answers a browser hands to scripts of other origins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware.cors import CORSMiddleware

from gateway.http.errors import Problem
from gateway.http.request_id import new_request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from starlette.datastructures import Headers
    from starlette.responses import Response
    from starlette.types import ASGIApp

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
_REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "If-Range",
    "Last-Event-ID",
    "Prefer",
    "Range",
    "Traceparent",
    "X-Request-ID",
)
_ANSWER_HEADERS = (
    "Accept-Encoding",
    "Accept-Post",
    "Allow",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)
# How long a browser may remember a preflight.
_MAX_AGE_S = 600


class Cors(CORSMiddleware):
    """ASGI application that is `app` for scripts of `origins`, too; `*` stands for all origins.

    Answers a preflight (an OPTIONS request that asks for a method) by itself: browsers send it without an API key.
    `on_preflight` gets the status of each.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str], on_preflight: Callable[[int], None]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_ANSWER_HEADERS,
            max_age=_MAX_AGE_S,
        )
        self._on_preflight = on_preflight

    def preflight_response(self, request_headers: Headers) -> Response:
        """200, or a problem document (400) that says whether it is the origin, the method or a header."""
        response = super().preflight_response(request_headers)
        if response.status_code != 200:
            what = bytes(response.body).decode().removeprefix("Disallowed CORS ")
            allowed = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
            response = Problem(
                400, f"this gateway allows no such request of another origin: {what}", allowed
            ).response()
        response.headers["X-Request-ID"] = new_request_id().decode()
        self._on_preflight(response.status_code)
        return response


def refusal_headers(origins: Sequence[str], request_headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """CORS headers of an answer that is given below the application, perhaps to a head that has come in part.

    Of several origins, the request's must be known to name it.
    """
    if len(origins) == 1:
        allowed = origins[0]
    else:
        named = (value.decode("latin-1") for name, value in request_headers if name == b"origin")
        allowed = next((origin for origin in named if origin in origins), "")
    if not allowed:
        return {}
    headers = {
        "Access-Control-Allow-Origin": allowed,
        "Access-Control-Expose-Headers": ", ".join(_ANSWER_HEADERS),
    }
    return headers if allowed == "*" else {**headers, "Vary": "Origin"}
