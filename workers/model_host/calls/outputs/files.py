"""Files in what the model returned: copied into the job's folder, from where the worker takes them to the store.

In the result an object stands for each: `{"url", "content_type", "size_bytes"}`.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.file import File
from workers.wire.limits import NotJson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.job import JobTerms

MOST_FILES = 1000


class ResultFiles:
    """The files of one job's result. `terms` tells of the job once the first file is met.

    An input that is run to check a model has no id: its files are dropped.
    """

    def __init__(self, terms: Callable[[], JobTerms]) -> None:
        self._terms = terms
        self.names: list[str] = []

    def kept(self, value: Any, path: Sequence[str | int], warn: Callable[[str], None]) -> dict[str, Any] | None:
        """What stands for the value in the result; None if that is no file. `path` leads to the value.

        Raises NotJson for a file that can't be kept, and OSError.
        """
        is_file = isinstance(value, PathLike | bytes | bytearray | memoryview) or is_image(value)
        if not is_file or not self._has_place(value):
            return None
        match value:
            case File():
                return self._copied(Path(value.path), value.name)
            case PathLike():
                own_path = Path(os.fsdecode(value))
                if own_path.is_file():
                    return self._copied(own_path, "")
                warn("a path where there is no file became a text")
                return None
            case bytes() | bytearray() | memoryview():
                return self._written(f"{_stem(path)}.bin", lambda file: file.write_bytes(value))
            case _:
                return self._written(f"{_stem(path)}.png", lambda file: value.save(file, "PNG"))

    def _copied(self, path: Path, name: str) -> dict[str, Any]:
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise NotJson(f"a File whose path is no file: {path}")
        except OSError as error:
            raise NotJson(f"a File that can't be read: {error}") from None
        # A link would do, but for models that write the next result over this one.
        return self._written(name or path.name, lambda file: shutil.copyfile(path, file))

    def _written(self, own_name: str, write: Callable[[Path], object]) -> dict[str, Any]:
        from workers.objects.names import new_name, type_of

        terms = self._terms()
        if not terms.id:
            return {"url": "", "content_type": type_of(own_name), "size_bytes": 0}
        if len(self.names) == MOST_FILES:
            raise NotJson(f"more than {MOST_FILES} files in one result")
        name = new_name(own_name)
        folder = Path(terms.folder)
        folder.mkdir(mode=0o700, exist_ok=True)
        write(folder / name)
        self.names.append(name)
        return {
            "url": f"/files/{terms.id}/{name}",
            "content_type": type_of(name),
            "size_bytes": (folder / name).stat().st_size,
        }

    def _has_place(self, value: Any) -> bool:
        """Whether files are kept. If not, a path stays a text, and anything else is refused. Raises NotJson."""
        terms = self._terms()
        if terms.folder or not terms.id:
            return True
        if isinstance(value, File):
            raise NotJson("a File, and OBJECT_STORE names no place for it")
        return False


def is_image(value: Any) -> bool:
    """Whether this is an image of PIL, which is not imported here: without it there are none."""
    image = sys.modules.get("PIL.Image")
    return image is not None and isinstance(value, image.Image)


def _stem(path: Sequence[str | int]) -> str:
    """The name of the member that a value is in."""
    return next((part for part in reversed(path) if isinstance(part, str) and part), "output")
