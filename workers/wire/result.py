"""A model's result on its way: from its process to the worker, and into the job's record."""

from __future__ import annotations

from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class EncodedResult:
    """What a model returned, as JSON on one line.

    `has_input`: it is an object with a member `input`. `warnings` is a JSON array of {"pointer", "detail"}, or empty.
    `files` are the names of the files that go with it, in the job's folder.
    """

    body: bytes
    has_input: bool
    warnings: bytes = b""
    files: tuple[str, ...] = ()

    def packed(self) -> bytes:
        """The body. If the body does not tell the rest, a second line does, as JSON; that is rare."""
        if not self.warnings and not self.files and self.has_input == _seems_to_have_input(self.body):
            return self.body
        rest = {
            "has_input": self.has_input,
            "warnings": orjson.Fragment(self.warnings or b"[]"),
            "files": self.files,
        }
        return self.body + b"\n" + orjson.dumps(rest)

    @classmethod
    def unpacked(cls, packed: bytes) -> EncodedResult:
        """What `packed` was made of."""
        body, _, line = packed.partition(b"\n")
        if not line:
            return cls(body, _seems_to_have_input(body))
        rest = orjson.loads(line)
        warnings = orjson.dumps(rest["warnings"]) if rest["warnings"] else b""
        return cls(body, rest["has_input"], warnings, tuple(rest["files"]))


def notes(warnings: bytes, input_json: bytes = b"") -> bytes:
    """What a job's record keeps beside the result, as a JSON object; empty if there is nothing. Both are JSON."""
    members = []
    if input_json:
        members.append(b'"input":' + input_json)
    if warnings:
        members.append(b'"warnings":' + warnings)
    return b"{" + b",".join(members) + b"}" if members else b""


def _seems_to_have_input(body: bytes) -> bool:
    return body.startswith(b"{") and body.find(b'"input"') >= 0
