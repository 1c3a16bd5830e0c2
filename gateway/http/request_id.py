"""X-Request-ID: the name by which a request is found in the logs of everything that it went through."""

from __future__ import annotations

import random
import re

# What other software sends: hexadecimal digits, UUIDs, ULIDs, trace ids, base64. Safe in a log line and in a header.
_SAFE = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}")


def safe_request_id(value: bytes | None) -> bytes | None:
    """The client's id, or None if it has sent none or one that is longer than 128 characters or not safe in a log."""
    return value if value is not None and _SAFE.fullmatch(value) else None


def new_request_id() -> bytes:
    """16 hexadecimal digits. It is a name and no secret."""
    return b"%016x" % random.getrandbits(64)
