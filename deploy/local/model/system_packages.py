"""The distribution's packages that a model's `packages.txt` lists: the image has them, and a laptop should."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SYSTEM_PACKAGES = "packages.txt"
# As apt-get takes them: name, architecture, version. No options.
_PACKAGE = re.compile(r"([a-z0-9][a-z0-9+.-]+(?::[a-z0-9]+)?)(=[A-Za-z0-9.+:~-]+)?")


class PackagesError(Exception):
    """Why what a model lists can't be installed, in one sentence."""


def packages_in(listed: Path) -> list[str]:
    """The names in a list, without versions; none if there is no list. Raises PackagesError."""
    found = []
    for line in listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []:
        for word in line.partition("#")[0].split():
            named = _PACKAGE.fullmatch(word)
            if named is None:
                raise PackagesError(f"{listed}: {word!r} is no name of a Debian package")
            found.append(named[1])
    return found


def missing(packages: list[str]) -> list[str]:
    """Those that are not installed here; none where there is no dpkg to ask. A virtual package counts as missing."""
    if not packages or not shutil.which("dpkg-query"):
        return []
    command = ["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}\t${Package}\t${binary:Package}\n"]
    done = subprocess.run([*command, *packages], capture_output=True, text=True, check=False)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    there = {name for status, *names in rows if status.startswith("ii") for name in names}
    return [name for name in packages if name not in there]
