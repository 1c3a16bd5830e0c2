"""Signatures, checked by the library of Standard Webhooks."""

from __future__ import annotations

import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from workers.webhooks.signature import headers_of, secrets_of

BODY = b'{"type":"job.finished"}'
OLD, NEW = "an old secret of the service", "a new secret of the service"


def test_a_receiver_verifies_a_delivery_by_its_secret() -> None:
    [secret] = secrets_of("me", [OLD])
    assert Webhook(secret).verify(BODY, headers_of("id", int(time.time()), BODY, [secret])) == {"type": "job.finished"}


def test_while_secrets_are_changed_both_verify() -> None:
    headers = headers_of("id", int(time.time()), BODY, secrets_of("me", [NEW, OLD]))
    for secret in secrets_of("me", [OLD, NEW]):
        assert Webhook(secret).verify(BODY, headers)


def test_another_owners_secret_another_body_and_an_old_message_do_not_verify() -> None:
    [secret], [other] = secrets_of("me", [OLD]), secrets_of("you", [OLD])
    now_s = int(time.time())
    for key, body, headers in (
        (other, BODY, headers_of("id", now_s, BODY, [secret])),
        (secret, BODY + b" ", headers_of("id", now_s, BODY, [secret])),
        (secret, BODY, headers_of("id", now_s - 3600, BODY, [secret])),
        (secret, BODY, headers_of("id", now_s, BODY, [secret]) | {"webhook-id": "another"}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(body, headers)
