"""The server's side of the stream: the files of `lua/`, joined into one library of functions, and calls of them."""

from __future__ import annotations

import hashlib
import re
import time
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from workers.stream.link.pipeline import Lane

if TYPE_CHECKING:
    from workers.stream.link.pipeline import PipelinedRedis

# In this order, as Lua's local functions must be defined before they are used.
_PARTS = (
    "base/keys", "base/group", "base/order", "base/record", "working/events", "pushing/options", "base/bury",
    "pushing/limits", "pushing/uploads", "asking/index", "pushing/push", "working/webhooks", "working/claim",
    "working/ahead", "asking/jobs", "pushing/old_batches", "pushing/batches", "asking/list", "working/finish",
    "working/schemas", "working/workers", "time/expire", "time/sweep", "asking/figures",
    "asking/overview", "asking/letters",
)  # fmt: skip
# Nothing of these is used by another part. Each is a block of its own, as a Lua chunk may have 200 local variables.
_ALONE = frozenset((
    "pushing/uploads", "working/webhooks", "pushing/batches", "asking/list", "working/finish", "working/workers",
    "time/sweep", "asking/overview", "asking/letters",
))  # fmt: skip


def _read(part: str) -> str:
    text = files("workers.stream").joinpath(f"lua/{part}.lua").read_text(encoding="utf-8")
    return f"do\n{text}\nend" if part in _ALONE else text


_TEXT = "\n".join(map(_read, _PARTS))

# The library's name. It contains a hash of the text, so that a server can hold the functions of several releases.
LIBRARY = f"leadtime_{hashlib.sha256(_TEXT.encode()).hexdigest()[:12]}"


def source(name: str) -> str:
    """The library's text under this name, for FUNCTION LOAD."""
    return _TEXT.replace("@LIBRARY@", name)


# The functions that the server runs even if its memory is full.
RUN_WHEN_FULL = frozenset(re.findall(r"^export\('(\w+)', \w+, '(?:allow-oom|no-writes)'\)", _TEXT, re.MULTILINE))

# A server that was too full to take the functions is asked again after this time.
_LOAD_AGAIN_S = 1.0
# A server that is full refuses FUNCTION LOAD, and then a new release would have no functions to empty it with. It does
# run a script that says `allow-oom`. This one defines all functions and calls the one that ARGV starts with.
_SCRIPT_HEAD = """#!lua flags=allow-oom
local functions = {}
local redis = setmetatable({ register_function = function(f) functions[f.function_name] = f.callback end },
  { __index = redis })"""
_SCRIPT_TAIL = """
return functions[table.remove(ARGV, 1)](KEYS, ARGV)"""


def script(name: str) -> str:
    """The functions as a script for EVALSHA; its first argument is a function's full name."""
    return _SCRIPT_HEAD + source(name).removeprefix(f"#!lua name={name}") + _SCRIPT_TAIL


class Library:
    """The functions of one queue, whose stream is `key`, on one server. They are loaded when they are missing."""

    def __init__(self, redis: PipelinedRedis, key: str) -> None:
        self._redis = redis
        self._key = key
        self._load_again_s = 0.0

    def command(self, function: str, *args: str | bytes | float) -> tuple[Any, ...]:
        """The command that calls a function."""
        return ("FCALL", f"{LIBRARY}_{function}", 1, self._key, *args)

    async def call(self, function: str, *args: str | bytes | float, lane: Lane = Lane.CALLS) -> Any:
        """Calls a function (FCALL); its reply."""
        command = self.command(function, *args)
        if not self._load_again_s or time.monotonic() > self._load_again_s:
            try:
                return await self._redis.call(lane, *command)
            except ResponseError as error:
                if "Function not found" not in str(error):
                    raise
        try:
            await self._load()
        except OutOfMemoryError:
            if function not in RUN_WHEN_FULL:
                raise
            return await self._evaluate(lane, *command[1:])
        return await self._redis.call(lane, *command)

    async def _load(self) -> None:
        if time.monotonic() <= self._load_again_s:
            raise OutOfMemoryError("the server was too full for the functions a moment ago")
        try:
            await self._redis.call(Lane.CALLS, "FUNCTION", "LOAD", source(LIBRARY))
        except OutOfMemoryError:
            self._load_again_s = time.monotonic() + _LOAD_AGAIN_S
            raise
        except ResponseError as error:
            if "already exists" not in str(error):
                raise
        self._load_again_s = 0.0

    async def _evaluate(self, lane: Lane, name: str, keys: int, key: str, *args: Any) -> Any:
        text = script(LIBRARY)
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        command = ("EVALSHA", digest, keys, key, name, *args)
        try:
            return await self._redis.call(lane, *command)
        except NoScriptError:
            await self._redis.call(Lane.CALLS, "SCRIPT", "LOAD", text)
        return await self._redis.call(lane, *command)
