"""What the model returned, as JSON, within the bounds of a result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workers.model_host.calls.failures import Refusal
from workers.wire.encode import encode_result
from workers.wire.limits import NotJson
from workers.wire.result import EncodedResult

if TYPE_CHECKING:
    from workers.model_host.calls.outputs.files import ResultFiles


def encoded(result: Any, max_bytes: int, files: ResultFiles | None = None) -> EncodedResult:
    """`files` has those of a generator's pieces, and keeps those in the result.

    Raises Refusal for what is no JSON, or more than `max_bytes` of it.
    """
    try:
        encoded = result if type(result) is EncodedResult else encode_result(result, files)
    except NotJson as error:
        message = f"predict returned a {type(result).__name__} that can't be written as JSON: {error}"
        raise Refusal("TypeError", message) from None
    if len(encoded.body) > max_bytes:
        message = f"the result is {len(encoded.body)} bytes of JSON, {max_bytes} are allowed"
        raise Refusal("ResultTooLarge", message)
    return replace(encoded, files=tuple(files.names)) if files is not None and files.names else encoded
