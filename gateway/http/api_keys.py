"""API keys: who may use the job endpoints, and who owns a job."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, NamedTuple

from gateway.http.errors import Problem
from workers.stream import NO_LIMITS, PushLimits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.http.request import HttpRequest
    from workers.stream import Priority

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Caller(NamedTuple):
    """Who has sent a request: the `owner` of what it pushes (32 hex digits), and what holds for it.

    An admin sees everybody's jobs. `webhook` is the URL of pushes that name none.
    """

    owner: str
    limits: PushLimits = NO_LIMITS
    webhook: str = ""
    is_admin: bool = False
    highest_priority: Priority = "high"


NOBODY = Caller("")


def digest_of(key: str) -> bytes:
    """What is kept of a key: its SHA-256."""
    return hashlib.sha256(key.encode()).digest()


def callers_of(keys: Iterable[str]) -> dict[bytes, Caller]:
    """Callers of keys that have no name: each owns what was pushed with that very key."""
    digests = [digest_of(key) for key in keys]
    return {digest: Caller(hashlib.sha256(b"owner " + digest).hexdigest()[:32]) for digest in digests}


class ApiKeys:
    """The known keys: callers by the digest of their key. Without any, everybody is let in and jobs have no owner."""

    def __init__(self, callers: Mapping[bytes, Caller]) -> None:
        self.callers = callers

    def owner(self, request: HttpRequest) -> str:
        """The owner of what this client pushes, or empty if no keys are configured. Raises Problem 401."""
        return self.caller(request).owner

    def caller(self, request: HttpRequest) -> Caller:
        """Who has sent this request; nobody if no keys are configured.

        Raises Problem 401 unless the request has `Authorization: Bearer KEY` (RFC 6750) with a known key.
        """
        if not self.callers:
            return NOBODY
        scheme, _, key = (request.header(b"authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Problem(401, "an API key is needed: Authorization: Bearer KEY", _CHALLENGE)
        digest = digest_of(key.strip())
        # Compares with every digest, so that the time taken tells nothing about any key.
        if not sum(hmac.compare_digest(digest, known) for known in self.callers):
            raise Problem(401, "the API key is not known", {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return self.callers[digest]
