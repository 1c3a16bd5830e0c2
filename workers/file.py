"""A file that a model gets or returns: its path, its name and its content type."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.job import current

_DESCRIPTIONS = {
    "validation": {"url": "an https URL that the worker fetches, or the path of a file that was pushed"},
    "serialization": {"url": "path of the file"},
}
_WANTED = 'a file is wanted: {"url": "https://..."}, or a push that has the file'


@dataclass(frozen=True, slots=True)
class File:
    """A file on the disk of the model's machine.

    What `predict` gets is there until the call is over. What it returns may be deleted as soon as the next call begins.
    `name` is the one that clients see, by default the path's; of a result its ending says the content type.
    """

    path: Path
    name: str = ""
    content_type: str = ""

    def __fspath__(self) -> str:
        """The path, for `open` and the like."""
        return os.fspath(self.path)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """How an input becomes one."""
        from pydantic_core import core_schema  # only pydantic calls this

        return core_schema.no_info_plain_validator_function(
            _file_of, metadata={FILE_MARK: True}, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _core: Any, handler: Any) -> dict[str, Any]:
        """What clients push for one, and what they get."""
        mode = str(getattr(handler, "mode", "validation"))
        members = {
            "url": {"type": "string", "description": _DESCRIPTIONS[mode]["url"]},
            "content_type": {"type": "string"},
            "size_bytes": {"type": "integer", "minimum": 0},
        }
        required = list(members) if mode == "serialization" else ["url"]
        return {"type": "object", "title": "File", "properties": members, "required": required}


FILE_MARK = "leadtime_file"


def _file_of(value: Any) -> File:
    """Of what the worker has made of a client's object: the file is in the job's folder."""
    if isinstance(value, File):
        return value
    if not is_brought(value):
        raise ValueError(_WANTED)
    path, folder = Path(value["path"]), current().folder
    # A client could name a path, too.
    if not folder or path.parent != Path(folder):
        raise ValueError(_WANTED if folder else "files are taken only where OBJECT_STORE names a place for them")
    return File(path, str(value.get("name", path.name)), str(value.get("content_type", "")))


def is_brought(value: Any) -> bool:
    """Whether it looks like what the worker has made of a client's object."""
    return isinstance(value, dict) and isinstance(value.get("path"), str)


def is_file(core: Any) -> bool:
    """Whether a type is a File, as pydantic-core has it (`core_schema`)."""
    metadata = core.get("metadata")
    return isinstance(metadata, dict) and FILE_MARK in metadata


def takes_files(core: Any) -> bool:
    """Whether there is a File in a type."""
    if isinstance(core, dict):
        if is_file(core):
            return True
        return any(map(takes_files, core.values()))
    return isinstance(core, (list, tuple)) and any(map(takes_files, core))
