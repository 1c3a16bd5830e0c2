"""Keeps the service's secrets from the model, which runs under the same user as the worker.

Linux shows the environment that a process was started with in /proc/PID/environ, to every process of the same user. A
process that has read its settings therefore removes the secrets there, and closes its memory to all but root.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# Variables of OpenTelemetry that may have a token in them.
OF_COLLECTORS = frozenset({"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"})
# The settings that are secret or may have a password in them, of whichever process.
SECRETS = frozenset({"REDIS_URL", "API_KEYS", "WEBHOOK_SECRETS"}) | OF_COLLECTORS

_PR_SET_DUMPABLE = 4
# Positions of env_start and env_end in /proc/self/stat, counted from the field after the name; see proc(5).
_ENVIRONMENT = slice(47, 49)


def without_secrets(environment: Mapping[str, str], kept: Collection[str] = ()) -> dict[str, str]:
    """The environment without the variables of `SECRETS` but for those `kept`. Upper and lower case are the same."""
    return {name: value for name, value in environment.items() if name.upper() not in SECRETS or name in kept}


def hide_secrets() -> None:
    """Removes the secrets from this process's environment; to be called when all settings have been read."""
    for name in set(os.environ) - set(without_secrets(os.environ)):
        del os.environ[name]
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            _overwrite()
        # As after setuid, /proc/PID/environ and /proc/PID/mem are root's then, and there are no core dumps.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _overwrite() -> None:
    """Overwrites the secrets in what /proc/PID/environ shows. Root could read them there."""
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        start, end = map(int, file.read().rpartition(")")[2].split()[_ENVIRONMENT])
    at = start
    for entry in ctypes.string_at(start, end - start).split(b"\0"):
        name, _, value = entry.partition(b"=")
        if name.decode(errors="replace").upper() in SECRETS:
            ctypes.memset(at + len(entry) - len(value), 0, len(value))
        at += len(entry) + 1
