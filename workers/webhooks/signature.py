"""How a delivery is signed: the scheme v1 of Standard Webhooks (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MIN_SECRET_CHARS = 24
_PREFIX = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64  # the standard's


def is_secret(text: str) -> bool:
    """Whether this is a secret of the standard's form: `whsec_`, and 24 to 64 bytes in base64."""
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return text.startswith(_PREFIX) and _LEAST_BYTES <= len(key) <= _MOST_BYTES


def secrets_of(owner: str, service_secrets: Iterable[str]) -> list[str]:
    """An owner's secrets, one for each of the service's: `whsec_` and 32 bytes in base64.

    They are made from the service's, so none has to be kept, and no owner can sign what another would take.
    """
    return [
        _PREFIX + base64.b64encode(hmac.digest(secret.encode(), f"webhook {owner}".encode(), hashlib.sha256)).decode()
        for secret in service_secrets
    ]


def headers_of(message_id: str, timestamp_s: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The headers that let a receiver verify a delivery, by any of the secrets: so they can be changed one by one."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    signatures = [
        base64.b64encode(hmac.digest(base64.b64decode(secret.removeprefix(_PREFIX)), signed, hashlib.sha256)).decode()
        for secret in secrets
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
