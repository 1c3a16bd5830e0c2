"""API keys: who may use the job endpoints, and who owns a job."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, NamedTuple

from gateway.http.errors import Problem
from workers.stream import NO_LIMITS, PushLimits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.http.request import HttpRequest
    from workers.stream import Priority

NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Caller(NamedTuple):
    """Who has sent a request: the `owner` of what it pushes (32 hex digits), and what holds for it.

    An admin sees everybody's jobs. `webhook` is the URL of pushes that name none. `webhook_secrets` sign its webhooks,
    if it has secrets of its own.
    """

    owner: str
    limits: PushLimits = NO_LIMITS
    webhook: str = ""
    is_admin: bool = False
    highest_priority: Priority = "high"
    webhook_secrets: tuple[str, ...] = ()


NOBODY = Caller("")


def owner_of_name(name: str) -> str:
    """The owner of what is pushed with the keys of a name."""
    return hashlib.sha256(f"name {name}".encode()).hexdigest()[:32]


def digest_of(key: str) -> bytes:
    """What is kept of a key: its SHA-256."""
    return hashlib.sha256(key.encode()).digest()


def callers_of(keys: Iterable[str]) -> dict[bytes, Caller]:
    """Callers of keys that have no name: each owns what was pushed with that very key."""
    digests = [digest_of(key) for key in keys]
    return {digest: Caller(hashlib.sha256(b"owner " + digest).hexdigest()[:32]) for digest in digests}


class ApiKeys:
    """The known keys: callers by the digest of their key. Without any, everybody is let in and jobs have no owner.

    Jobs of a caller may fill this share of the backlog, unless its limits have another one.
    """

    def __init__(self, callers: Mapping[bytes, Caller], backlog_share: float = 1.0) -> None:
        self._backlog_share = backlog_share
        self.use(callers)

    def use(self, callers: Mapping[bytes, Caller]) -> None:
        """Knows these from now on, and no others."""
        self.callers = {digest: self._with_share(caller) for digest, caller in callers.items()}
        self._webhook_secrets = {caller.owner: caller.webhook_secrets for caller in callers.values()}

    def webhook_secrets(self, owner: str) -> tuple[str, ...]:
        """The secrets of an owner who has some of its own, the one to use first."""
        return self._webhook_secrets.get(owner, ())

    def _with_share(self, caller: Caller) -> Caller:
        limits = caller.limits
        if limits.backlog_share or self._backlog_share == 1:
            return caller
        return caller._replace(limits=limits._replace(backlog_share=self._backlog_share))

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
