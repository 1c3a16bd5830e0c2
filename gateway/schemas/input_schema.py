"""A schema that says which inputs a model takes, compiled. It comes from the server, so it is not trusted."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

from gateway.schemas.faults import KEYWORDS, InputFault, faults_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.schemas.faults import Schema

# Of a pattern's automaton. Example: [0-9]{1000} takes 40 KB.
_PATTERN_BYTES = 1_048_576


class SchemaRefused(ValueError):  # noqa: N818
    """The schema can't be used. The message is one sentence on why."""


class InputSchema:
    """Checks inputs in time that is proportional to their size: it has no references, and patterns do not backtrack."""

    def __init__(self, schema: Schema) -> None:
        """Raises SchemaRefused for what is no schema, or has keywords that workers do not write."""
        _check_keywords(schema)
        # It takes 24 ms and 8 MB to import, which a gateway whose models take any JSON must not pay.
        import jsonschema_rs

        options = jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES)
        self._compiled = partial(
            jsonschema_rs.validator_for, validate_formats=False, pattern_options=options, offline=True
        )
        try:
            self.takes = self._compiled(schema).is_valid
        except ValueError as error:
            raise SchemaRefused(str(error).partition("\n")[0][:200]) from None
        self._schema = schema
        self._matches = cache(self._matcher)

    def faults(self, value: Any) -> list[InputFault]:
        """What is wrong with an input that is not taken."""
        return faults_of(self._schema, value, lambda pattern, text: self._matches(pattern)(text))

    def _matcher(self, pattern: str) -> Callable[[str], bool]:
        return self._compiled({"pattern": pattern}).is_valid


def _check_keywords(schema: Any) -> None:
    """Raises SchemaRefused unless all keywords are known ones: of these, none refers to another schema."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise SchemaRefused("a part of it is neither an object nor true or false")
    if unknown := sorted(schema.keys() - KEYWORDS):
        raise SchemaRefused(f"it has the keyword {unknown[0][:50]!r}, which no worker writes")
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            _check_keywords(schema[keyword])
    for keyword, kind in (("anyOf", list), ("prefixItems", list), ("properties", dict)):
        parts = schema.get(keyword, kind())
        if not isinstance(parts, kind):
            raise SchemaRefused(f"{keyword} is no {kind.__name__}")
        for part in parts.values() if isinstance(parts, dict) else parts:
            _check_keywords(part)
