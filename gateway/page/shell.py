"""The page's files, served as they are from memory, and what a browser may do with them."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import Response

from gateway.http.errors import Problem

if TYPE_CHECKING:
    from gateway.http.request import HttpRequest

INDEX = "index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# No script and no style but the page's own files, no request to any other host, and no frame around it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class ShellFile:
    """One file of the page."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self.body = body
        self.content_type = content_type
        self.etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'


class Shell:
    """All files of the page, by their names; read once, when the process starts."""

    def __init__(self) -> None:
        folder = files("gateway.page").joinpath("static")
        self.files = {
            one.name: ShellFile(one.read_bytes(), _TYPES[suffix])
            for one in folder.iterdir()
            if (suffix := f".{one.name.rpartition('.')[2]}") in _TYPES
        }

    def respond(self, request: HttpRequest, name: str = INDEX) -> Response:
        """Answers with a file; 304 if the client has it. Raises Problem 404."""
        file = self.files.get(name)
        if file is None:
            raise Problem(404, "the page has no such file")
        headers = {**_HEADERS, "ETag": file.etag}
        if request.header(b"if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.body, headers={**headers, "Content-Type": file.content_type})
