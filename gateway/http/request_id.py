"""X-Request-ID: the name by which a request is found in the logs of everything that it went through."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# What other software sends: hexadecimal digits, UUIDs, ULIDs, trace ids, base64. Safe in a log line and in a header.
_SAFE = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}")


def is_safe(request_id: bytes) -> bool:
    """Whether a client's id is 1 to 128 characters that are safe in a log."""
    return _SAFE.fullmatch(request_id) is not None


def id_of_headers(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The id that a client has sent, if it is safe, or a new one."""
    own = next((value for name, value in headers if name == b"x-request-id"), b"")
    return own if is_safe(own) else new_request_id()


def new_request_id() -> bytes:
    """16 hexadecimal digits. It is a name and no secret."""
    return b"%016x" % random.getrandbits(64)
