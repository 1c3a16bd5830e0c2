"""A virtual environment for each peer, made once from its pinned requirements and kept in `.bench/venvs`."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

from bench.common.processes import ROOT, BenchError

REQUIREMENTS = ROOT / "bench" / "peers" / "libraries" / "requirements"


def python(library: str) -> str:
    """The interpreter that a library's module is run with; its environment is made if it is missing or outdated.

    What has no requirements of its own runs with this project's packages.
    """
    requirements = REQUIREMENTS / f"{library}.txt"
    if not requirements.exists():
        return sys.executable
    venv = ROOT / ".bench" / "venvs" / library
    stamp, interpreter = venv / "bench-stamp", str(venv / "bin" / "python")
    marks = b"\n".join((requirements.read_bytes(), sys.version.encode(), str(ROOT).encode()))
    wanted = hashlib.sha256(marks).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"making an environment with {library} (once)", file=sys.stderr, flush=True)
        _run([sys.executable, "-m", "venv", "--clear", str(venv)])
        pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        _run([*pip, "--requirement", str(requirements)])
        stamp.write_text(wanted, encoding="utf-8")
    return interpreter


def versions(library: str) -> dict[str, str]:
    """Versions of all that is installed beside a library, by package."""
    program = (
        "import importlib.metadata as m, json; "
        "print(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions()}))"
    )
    found: dict[str, str] = json.loads(_run([python(library), "-c", program]))
    return found


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"`{' '.join(command[1:4])} ...` failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")
    return done.stdout
