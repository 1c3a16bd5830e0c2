"""The types of the model's input and output in /openapi.json, as a worker has described them."""

from __future__ import annotations

import re
from typing import Any

Document = dict[str, Any]

_PREFIX = "#/components/schemas/Model."
_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
# The results' schemas, which get the members that the model returns.
_RESULTS = ("Result", "FinishedJob")
_NOT_EMPTY = {"not": {"const": ""}}


class ModelTypes:
    """The members `input`, `output` and `definitions` of a model's schema."""

    def __init__(self, schema: Document) -> None:
        """Raises ValueError for what has no place in the document, such as a reference that leads out of it."""
        self._input = _object(schema, "input")
        self._output = _object(schema, "output")
        self._definitions = _object(schema, "definitions")
        for name in self._definitions:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name[:50]!r} can't be the name of a definition")
            # Generators of clients name classes by titles: the model's `Job` would meet the service's.
            _object(self._definitions, name).pop("title", None)
        self._check_references([self._input, self._output, self._definitions])

    def added_to(self, document: Document) -> Document:
        """The document with these types; the one that is given stays as it is."""
        components = document["components"]
        schemas: Document = {**components["schemas"]}
        schemas |= {f"Model.{name}": definition for name, definition in self._definitions.items()}
        paths = document["paths"]
        if self._input:
            paths = {**paths, "/push": {"post": self._taking_input(paths["/push"]["post"], schemas)}}
        if self._output:
            for name in _RESULTS:
                schemas[name] = {**schemas[name], "properties": self._properties(schemas[name]["properties"])}
        return {**document, "paths": paths, "components": {**components, "schemas": schemas}}

    def _taking_input(self, push: Document, schemas: Document) -> Document:
        if "$ref" in self._input:
            schema = self._input
        else:
            schemas["PredictInput"] = self._input | ({} if self._is_object(self._input) else _NOT_EMPTY)
            schema = {"$ref": "#/components/schemas/PredictInput"}
        content = {**push["requestBody"]["content"], "application/json": {"schema": schema}}
        return {**push, "requestBody": {**push["requestBody"], "content": content}}

    def _properties(self, ours: Document) -> Document:
        """The members of a result: those of the object that the model returns, or else its `output`."""
        resolved = self._resolved(self._output)
        if not self._is_object(resolved):
            return {**ours, "output": {**ours["output"], **self._output}}
        members = resolved.get("properties")
        return {**members, **ours} if isinstance(members, dict) else ours

    def _is_object(self, schema: Document) -> bool:
        return self._resolved(schema).get("type") == "object"

    def _resolved(self, schema: Document) -> Document:
        reference = schema.get("$ref")
        return schema if reference is None else _object(self._definitions, reference.removeprefix(_PREFIX))

    def _check_references(self, part: Any) -> None:
        if isinstance(part, list):
            for one in part:
                self._check_references(one)
        elif isinstance(part, dict):
            for name, member in part.items():
                if name == "$ref" and isinstance(member, str):
                    if member.removeprefix(_PREFIX) not in self._definitions:
                        raise ValueError(f"it refers to {member[:100]!r}, which it does not define")
                else:
                    self._check_references(member)


def _object(document: Document, name: str) -> Document:
    member = document.get(name, {})
    if not isinstance(member, dict):
        raise ValueError(f"{name[:50]} is no object")
    return member
