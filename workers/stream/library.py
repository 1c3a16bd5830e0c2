"""The server's side of the stream: the files of `lua/`, joined into one library of functions."""

from __future__ import annotations

import hashlib
from importlib.resources import files

# In this order, as Lua's local functions must be defined before they are used.
_PARTS = ("keys", "group", "record", "push", "claim", "finish", "workers", "sweep", "jobs", "figures")
_TEXT = "\n".join(files("workers.stream").joinpath(f"lua/{part}.lua").read_text(encoding="utf-8") for part in _PARTS)

# The library's name. It contains a hash of the text, so that a server can hold the functions of several releases.
LIBRARY = f"leadtime_{hashlib.sha256(_TEXT.encode()).hexdigest()[:12]}"


def source(name: str) -> str:
    """The library's text under this name, for FUNCTION LOAD."""
    return _TEXT.replace("@LIBRARY@", name)
