"""Idempotency-Key: a push that is sent twice is one job."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from gateway.http.errors import Problem
from workers.wire.decode import loads
from workers.wire.encode import canonical

if TYPE_CHECKING:
    from gateway.http.request import HttpRequest

MAX_KEY_CHARS = 255
_KEY = re.compile(rf"[\x20-\x7e]{{1,{MAX_KEY_CHARS}}}")


def read_key(request: HttpRequest, owner: str, args: bytes, options: bytes = b"") -> tuple[str, str]:
    """The push's idempotency key, and the fingerprint of its input and options, in hex; empty without the header.

    The header is that of the IETF draft "The Idempotency-Key HTTP Header Field". Two owners may use the same key
    without meeting. Inputs are the same if they differ only in the order of members, in white space, or in how a
    number is spelled that a model would get as the same number; `options` of the push are the same if their texts are.
    Raises Problem 400.
    """
    key = hashed_key(request, owner)
    if not key:
        return "", ""
    [value] = loads(args)
    return key, hashlib.sha256(b"[%b]%b" % (canonical(value), options)).hexdigest()


def hashed_key(request: HttpRequest, owner: str) -> str:
    """The push's idempotency key in hex (SHA-256); empty without the header. Raises Problem 400."""
    if request.header(b"idempotency-key") is None:
        return ""
    keys = request.headers(b"idempotency-key")
    if len(keys) > 1 or not _KEY.fullmatch(keys[0].strip()):
        raise Problem(400, f"Idempotency-Key must be given once, as 1 to {MAX_KEY_CHARS} printable ASCII characters")
    return hashlib.sha256(f"{owner} {keys[0].strip()}".encode()).hexdigest()
