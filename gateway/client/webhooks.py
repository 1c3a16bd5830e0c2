"""What a receiver of webhooks needs: whether a delivery is genuine, and what it says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import WebhookRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class WebhookEvent(NamedTuple):
    """What a delivery says. A delivery may come twice: then `id` is the same."""

    id: str
    type: str
    timestamp: str
    data: dict[str, Any]


def verified_webhook(body: bytes, headers: Mapping[str, str], secrets: str | Sequence[str]) -> WebhookEvent:
    """The event of a delivery that was signed with one of the secrets (`Client.webhook_secrets`), minutes ago at most.

    `body` must be the very bytes that came. Needs the extra `webhooks` (standardwebhooks). Raises WebhookRefused.
    """
    try:
        from standardwebhooks.webhooks import Webhook, WebhookVerificationError
    except ImportError:
        raise ImportError("webhooks need `pip install leadtime[webhooks]`") from None
    lowered = {name.lower(): value for name, value in headers.items()}
    refused = "there is no secret"
    for secret in [secrets] if isinstance(secrets, str) else secrets:
        webhook = Webhook(secret)
        try:
            webhook.verify(body, lowered)
        except WebhookVerificationError as error:
            refused = str(error)
        except ValueError:  # headers and bodies of strangers may be anything
            refused = "it is malformed"
        else:
            document = json.loads(body)
            return WebhookEvent(lowered["webhook-id"], document["type"], document["timestamp"], document["data"])
    raise WebhookRefused(f"the webhook is not genuine: {refused}")
