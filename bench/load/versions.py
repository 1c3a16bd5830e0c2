"""The programs that took part in a run, and what they ran on."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from bench.common.processes import ROOT
from workers import __version__

if TYPE_CHECKING:
    from bench.load.client import Client

_PACKAGES = ("aiohttp", "uvloop", "numpy")


async def versions(client: Client) -> dict[str, str]:
    """By name. The service is asked for its own; empty if it does not tell."""
    found = {"leadtime": await asyncio.to_thread(_own), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    info = (await client.get("/openapi.json")).document().get("info")
    service = info.get("version") if isinstance(info, dict) else None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        **found,
        "event loop": loop,
        "service": str(service or ""),
        "system": f"{platform.system()} {platform.release()}",
        "processor": f"{_processor()}, {cores} of its cores",
    }


def _own() -> str:
    """This checkout's version, and its commit where git tells it; with a + if files differ from it."""
    try:
        told = subprocess.run(
            (shutil.which("git") or "git", "describe", "--always", "--dirty=+"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__} ({told})"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8").splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
