"""What the model returned, as JSON, within the bounds of a result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workers.model_host.calls.failures import Refusal
from workers.wire.encode import encode_result
from workers.wire.limits import NotJson
from workers.wire.plain import with_article
from workers.wire.result import EncodedResult

if TYPE_CHECKING:
    from workers.model_host.calls.outputs.files import ResultFiles


def no_json(value: Any, error: NotJson) -> str:
    """What a value is, that it can't be written as JSON, and why, if that is not all that there is to say."""
    what = with_article(value)
    return f"{what} that can't be written as JSON" + ("" if str(error) == what else f": {error}")


def encoded(result: Any, max_bytes: int, files: ResultFiles | None = None) -> EncodedResult:
    """`files` has those of a generator's pieces, and keeps those in the result.

    Raises Refusal for what is no JSON, or more than `max_bytes` of it.
    """
    try:
        encoded = result if type(result) is EncodedResult else encode_result(result, files)
    except NotJson as error:
        raise Refusal("TypeError", f"predict returned {no_json(result, error)}") from None
    if len(encoded.body) > max_bytes:
        message = f"the result is {len(encoded.body)} bytes of JSON, {max_bytes} are allowed"
        raise Refusal("ResultTooLarge", message)
    return replace(encoded, files=tuple(files.names)) if files is not None and files.names else encoded
