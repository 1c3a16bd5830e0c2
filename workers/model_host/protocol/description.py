"""What a model says of itself once it is loaded: the schema of what it takes and returns.

The schema is an object of up to four members:

| member | meaning |
| --- | --- |
| `accepts` | what may be pushed (`workers/model_host/calls/schemas/accepted.py`); left out if any JSON may be |
| `input` | what should be pushed: pydantic's JSON schema, for `/openapi.json` |
| `output` | what comes of it, if the return annotation says that |
| `definitions` | what these two refer to as `#/components/schemas/Model.NAME` |
"""

from __future__ import annotations

from typing import NamedTuple

import orjson

_MOST_WARNINGS = 10
_MOST_CHARS = 500


class Description(NamedTuple):
    """The schema as JSON, empty if the model takes any JSON, and in sentences what could not be described."""

    schema: bytes
    warnings: list[str]

    def packed(self) -> bytes:
        """The body of a frame: the warnings as a JSON array, a line feed, the schema."""
        warnings = [warning[:_MOST_CHARS] for warning in self.warnings[:_MOST_WARNINGS]]
        return orjson.dumps(warnings) + b"\n" + self.schema

    @classmethod
    def unpacked(cls, body: bytes) -> Description:
        """Reads the body of a frame. Raises ValueError."""
        warnings, _, schema = body.partition(b"\n")
        return cls(schema, [str(warning) for warning in orjson.loads(warnings)])
