"""Builds the wheel that has the client alone: `gateway/client/`, as the package `leadtime`.

    python3 deploy/local wheel [FOLDER]

puts it into the folder (dist). It has no package `gateway` or `workers`, so it meets none of a user's.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import workers

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "gateway" / "client"
_LEFT_OUT = shutil.ignore_patterns("__pycache__")


class WheelError(Exception):
    """What the builder has said."""


def build(folder: Path) -> Path:
    """The wheel, in the folder. Raises WheelError."""
    with tempfile.TemporaryDirectory() as name:
        source = Path(name)
        shutil.copytree(CODE, source / "leadtime", ignore=_LEFT_OUT)
        shutil.copy(ROOT / "deploy" / "client" / "pyproject.toml", source)
        shutil.copy(ROOT / "docs" / "client.md", source / "README.md")
        shutil.copy(ROOT / "LICENSE", source)
        (source / "VERSION").write_text(workers.__version__, encoding="utf-8")
        # With the setuptools of this environment: nothing is downloaded.
        pip = [sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check", "--quiet", "--no-deps"]
        pip += ["--no-build-isolation", "--wheel-dir", str(source / "wheels"), str(source)]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WheelError(done.stdout + done.stderr)
        [wheel] = (source / "wheels").glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(wheel, folder))


def main() -> None:
    """Prints the wheel's path; ends the process with 1 and what the builder said if there is none."""
    if len(sys.argv) > 2:
        sys.exit("usage: python3 deploy/local wheel [FOLDER]")
    try:
        print(build(Path(sys.argv[1] if sys.argv[1:] else ROOT / "dist")))
    except WheelError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
