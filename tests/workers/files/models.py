"""Models that return files, or take them."""

import os
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import BaseModel

from workers.file import File
from workers.job import Job


class Draws:
    def predict(self, what: str) -> Any:
        """One of each kind of file."""
        path = Path(tempfile.gettempdir(), f"{os.getpid()}-page.txt")
        path.write_text(what, encoding="utf-8")
        return {"raw": what.encode(), "page": path, "image": Image.new("RGB", (2, 2)), "what": what}


class Reads:
    def predict(self, file: File, note: str = "", job: Job | None = None) -> Any:
        """What is known of a file, and what is in it."""
        assert job is not None
        return {
            "about": [file.name, file.content_type, os.path.getsize(file)],
            "head": Path(file).read_bytes()[:10].decode(),
            "note": note,
            "is_beside_others": Path(file).parent == Path(job.folder),
        }


class ReadsSeveral:
    def predict(self, files: list[File], note: str = "") -> Any:
        """The names of the files."""
        return [[file.name for file in files], note]


class PageWithFile(BaseModel):
    file: File
    copies: int


class ReadsTogether:
    max_batch_size = 3
    max_batch_wait_s = 600.0  # all of a call come together

    def predict_batch(self, inputs: list[PageWithFile]) -> list[Any]:
        """What is in each file, a copy of it, and how many inputs the call has."""
        return [{"text": Path(page.file).read_text(), "copy": page.file, "together": len(inputs)} for page in inputs]
