"""The options of a push in the API's description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.documents.openapi.parts import query
from gateway.options import LEAST_KEEP_S, LEAST_TIMEOUT_S, LEAST_TTL_S, TAG_PATTERN
from workers.stream import PRIORITIES

if TYPE_CHECKING:
    from gateway.settings import GatewaySettings


def option_parameters(settings: GatewaySettings) -> list[dict[str, Any]]:
    """The parameters of the query, with the bounds that the settings make."""
    return [
        query("timeout", _number(LEAST_TIMEOUT_S, settings.job_timeout_s), "seconds that one attempt may take"),
        query(
            "max_attempts",
            {"type": "integer", "minimum": 1, "maximum": settings.max_job_attempts},
            "attempts after which the job fails",
        ),
        query("keep", _number(LEAST_KEEP_S, settings.max_keep_s), "seconds that record and result are kept"),
        query(
            "ttl",
            _number(LEAST_TTL_S, settings.max_ttl_s),
            "seconds within which the job must be started; after that it fails with the type Expired",
        ),
        query("delay", _number(0, settings.max_delay_s), "seconds after which the job is due; not with `at`"),
        query(
            "at",
            {"type": "string", "format": "date-time"},
            f"time at which the job is due, at most {settings.max_delay_s:.15g} s ahead; not with `delay`",
        ),
        query(
            "tag",
            tag_schema(settings),
            "a word of the client's own, which the job's status repeats",
        ),
        query(
            "priority",
            {"enum": list(PRIORITIES)},
            "high jobs are taken before all that wait, low ones when nothing else waits, and as one in ten",
        ),
    ]


def tag_schema(settings: GatewaySettings) -> dict[str, Any]:
    """The schema of a tag."""
    return {"type": "string", "minLength": 1, "maxLength": settings.max_tag_chars, "pattern": f"^{TAG_PATTERN}$"}


def _number(least: float, most: float) -> dict[str, Any]:
    return {"type": "number", "minimum": least, "maximum": most}
