"""Webhooks: whom a push names, the secrets that sign them, and those that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gateway.http.errors import Problem
from gateway.http.responses import JsonResponse
from workers.outbound.addresses import AddressRefused
from workers.stream import WEBHOOK_EVENTS, is_entry

if TYPE_CHECKING:
    from starlette.responses import Response

    from gateway.context import Context
    from gateway.deliveries import Webhooks
    from gateway.http.api_keys import Caller
    from gateway.http.request import HttpRequest
    from workers.stream import DeadLetter

PARAMETERS = ("webhook", "webhook_events")
_BY_DEFAULT = ("finished", "failed", "cancelled")
_PAGE = 100
_MOST_PAGES = 10
_NO_WEBHOOKS = "this gateway sends no webhooks (WEBHOOK_SECRETS)"
_NOT_FOUND = "failed webhook not found"


def read_webhook(context: Context, request: HttpRequest, caller: Caller) -> str:
    """What `NewJob.webhook` takes, of `?webhook=` and `?webhook_events=`. Raises Problem 400."""
    query = request.query
    url, names = query.get("webhook"), query.get("webhook_events")
    if url is None and context.webhooks:
        url = caller.webhook or None
    if url is None:
        if names is not None:
            raise Problem(400, "webhook_events goes with webhook", parameters=["webhook_events"])
        return ""
    if context.webhooks is None:
        raise Problem(400, _NO_WEBHOOKS, parameters=[name for name in PARAMETERS if name in query])
    try:
        url = str(context.webhooks.rules.checked(url))
    except AddressRefused as error:
        # The caller's key may have brought the URL: then nothing in the query is wrong.
        members: dict[str, Any] = {"parameters": ["webhook"]} if "webhook" in query else {}
        raise Problem(400, f"webhook: {error}", **members) from None
    events = _BY_DEFAULT if names is None else tuple(name.strip() for name in names.split(","))
    if not set(events) <= set(WEBHOOK_EVENTS):
        text = f"webhook_events is a comma-separated list of {', '.join(WEBHOOK_EVENTS)}"
        raise Problem(400, text, parameters=["webhook_events"])
    return orjson.dumps({"url": url, "events": sorted(set(events))}).decode()


async def secrets(context: Context, request: HttpRequest) -> Response:
    """GET /webhooks/secrets: the secrets that the caller's webhooks are signed with, the one to use first."""
    owner = context.api_keys.owner(request)
    return JsonResponse({"secrets": list(_webhooks(context).secrets_of(owner))})


async def failed(context: Context, request: HttpRequest) -> Response:
    """GET /webhooks/failed: a page of the caller's webhooks that were given up, oldest first."""
    owner, queue = context.api_keys.owner(request), _webhooks(context).queue
    after = request.query.get("after", "")
    if "after" in request.query and not is_entry(after):
        raise Problem(400, "after must be the `next` of a page before", parameters=["after"])
    shown: list[dict[str, Any]] = []
    for _ in range(_MOST_PAGES):
        letters = await queue.dead_letters(_PAGE, after)
        shown += [_shown(letter) for letter in letters if letter.owner == owner]
        if letters:
            after = letters[-1].entry
        if len(letters) < _PAGE:
            return JsonResponse({"failed": shown, "next": None})
        if len(shown) >= _PAGE:
            break
    return JsonResponse({"failed": shown, "next": after})


async def resend(context: Context, request: HttpRequest) -> Response:
    """POST /webhooks/failed/{place}/resend: sends a webhook again that was given up."""
    owner, queue = context.api_keys.owner(request), _webhooks(context).queue
    place = request.path_parameter("place")
    letter = await queue.dead_letter(place) if is_entry(place) else None
    if letter is None or letter.owner != owner or not await queue.requeue(place):
        raise Problem(404, _NOT_FOUND)
    return JsonResponse({"id": letter.id}, 202)


def _webhooks(context: Context) -> Webhooks:
    if context.webhooks is None:
        raise Problem(404, _NO_WEBHOOKS)
    return context.webhooks


def _shown(letter: DeadLetter) -> dict[str, Any]:
    job_id, event, _, url, *_ = orjson.loads(letter.args)
    return {
        "place": letter.entry,
        "id": letter.id,
        "job": job_id,
        "event": event,
        "url": url,
        "attempts": letter.attempts,
        "error": letter.error,
    }
