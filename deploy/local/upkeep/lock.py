"""Writes the lists of packages anew, with versions and hashes: `just lock`.

One resolution decides on every version, and keeps those of today that fit pyproject.toml. Each list then gets the
packages that its commands need and that no list above it has.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.__main__ import LISTS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

# What each list adds to pyproject.toml's dependencies: the extras of that project.
EXTRAS = {
    "service": ["otel"],
    "up": ["local"],
    "deploy": ["deploy"],
    "bench": ["bench"],
    "test": ["test"],
    "lint": ["lint"],
}
_OPTIONS = ["--quiet", "--no-strip-extras", "--universal", "--generate-hashes", "--python-version=3.11"]
_OPTIONS += ["--no-header", "--no-annotate"]


def pins(text: str) -> Iterator[str]:
    """Each package of a list: its line `name==version` with the lines of its hashes."""
    pin = ""
    for line in text.splitlines(keepends=True):
        if pin and not line.startswith(" "):
            yield pin
            pin = ""
        pin += line
    if pin:
        yield pin


def compiled(extras: list[str], into: Path, *options: str) -> str:
    """What pyproject.toml with these extras resolves to. A file `into` that is there says which versions to keep."""
    uv = Path(sys.executable).with_name("uv")
    chosen = [f"--extra={extra}" for extra in extras]
    arguments = [*_OPTIONS, *chosen, *options, "--output-file", str(into)]
    subprocess.run([uv, "pip", "compile", "pyproject.toml", *arguments], cwd=ROOT, check=True)
    return into.read_text(encoding="utf-8")


def main() -> None:
    """Ends with uv's error if pyproject.toml can't be resolved; then no list has changed."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.txt"
        whole.write_text("".join(path.read_text(encoding="utf-8") for path in LISTS.values() if path.exists()))
        compiled([extra for extras in EXTRAS.values() for extra in extras], whole)
        above: set[str] = set()
        extras: list[str] = []
        texts: dict[Path, str] = {}
        for name, path in LISTS.items():
            extras += EXTRAS[name]
            needed = list(pins(compiled(extras, Path(folder) / f"{name}.txt", f"--constraints={whole}")))
            texts[path] = "".join(pin for pin in needed if pin not in above)
            above.update(needed)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
