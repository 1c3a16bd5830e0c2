"""The schema of a worker's model, as the worker publishes it for the gateways."""

from __future__ import annotations

import hashlib

from workers.stream import ANY_SCHEMA


class ModelSchema:
    """`text` is JSON, and empty if the model takes any; `digest` names it. Without a model the digest is empty."""

    def __init__(self, text: bytes | None = None) -> None:
        self.text = text or b""
        self.digest = "" if text is None else hashlib.sha256(text).hexdigest()[:32] if text else ANY_SCHEMA
