"""API keys: who may use the job endpoints, and who owns a job."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from gateway.http.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.http.request import HttpRequest

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class ApiKeys:
    """The configured keys. Without any, everybody is let in and jobs have no owner."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def owner(self, request: HttpRequest) -> str:
        """The owner of what this client pushes: 32 hex digits made from its key, or empty if no keys are configured.

        Raises Problem 401 unless the request has `Authorization: Bearer KEY` (RFC 6750) with a configured key.
        """
        if not self._digests:
            return ""
        scheme, _, key = (request.header(b"authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Problem(401, "an API key is needed: Authorization: Bearer KEY", _CHALLENGE)
        digest = hashlib.sha256(key.strip().encode()).digest()
        # Compares with every digest, so that the time taken tells nothing about any key.
        if not sum(hmac.compare_digest(digest, known) for known in self._digests):
            raise Problem(401, "the API key is not known", {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return hashlib.sha256(b"owner " + digest).hexdigest()[:32]
