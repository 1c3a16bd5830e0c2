"""The trace that a request is part of (W3C Trace Context)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.http.request import HttpRequest

# Version, trace id, parent id, flags. Neither id is all zeros. A later version may have more behind it.
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent_of(request: HttpRequest) -> str:
    """The request's traceparent; empty if it has none, or one that is malformed, which the standard has ignored."""
    text = request.header(b"traceparent")
    return text if text is not None and _TRACEPARENT.fullmatch(text) else ""
