"""Runs a command in the project's own virtual environment, and first installs there what that command needs.

    python3 deploy/local up      the service: server, gateway, workers
    python3 deploy/local check   loads a model and runs an input (MODEL, --input JSON)
    python3 deploy/local test    all tests (further arguments go to pytest)

This file needs nothing but Python's standard library, and has to be readable for older versions of it:
Python 3.6 gets to `check_python`.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "leadtime-stamp"
INSTALLING = "installing"
LIVE_LOG = ["-o", "log_cli=true", "-o", "log_cli_level=INFO"]

# The lists of packages. Each names what it adds to those above it; the first one is also what the image installs.
LISTS = {
    "service": ROOT / "deploy" / "requirements.txt",
    "up": ROOT / "deploy" / "local" / "requirements" / "up.txt",
    "deploy": ROOT / "deploy" / "local" / "requirements" / "deploy.txt",
    "bench": ROOT / "deploy" / "local" / "requirements" / "bench.txt",
    "test": ROOT / "deploy" / "local" / "requirements" / "test.txt",
    "lint": ROOT / "deploy" / "local" / "requirements" / "lint.txt",
}
# The last list that a command needs.
NEEDS = {
    "up": "up",
    "check": "up",
    "key": "service",
    "deploy": "deploy",
    "undeploy": "deploy",
    "image": "up",
    "bench": "bench",
    "peers": "bench",
    "growth": "bench",
    "experiments": "bench",
    "faults": "bench",
    "test": "test",
    "e2e": "test",
    "wheel": "test",
    "screenshots": "test",
    "lint": "lint",
    "fmt": "lint",
    "install": "lint",
}

IMPORTS = ["-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-logo", "--no-cache"]

# What each command runs, in order; the caller's arguments go to the last one.
COMMANDS = {
    "up": [["-m", "deploy.local.up"]],
    "test": [["-m", "pytest"]],
    "check": [["-m", "deploy.local.model.check"]],
    "key": [["-m", "deploy.local.key"]],
    "lint": [["-m", "ruff", "format", "--check", "."], ["-m", "ruff", "check", "."], IMPORTS, ["-m", "mypy"]],
    "fmt": [
        ["-m", "ruff", "format", "."],
        ["-m", "ruff", "check", "--fix", "."],
        ["-m", "deploy.local.upkeep.settings_table", "--write"],
    ],
    "bench": [["-m", "bench"]],
    "peers": [["-m", "bench", "peers"]],
    "growth": [["-m", "bench", "growth"]],
    "experiments": [["-m", "bench", "experiments"]],
    "faults": [["-m", "bench", "faults"]],
    "wheel": [["-m", "deploy.client"]],
    "screenshots": [["-m", "deploy.local.upkeep.screenshots"]],
    "deploy": [["-m", "deploy.kubernetes", "deploy"]],
    "undeploy": [["-m", "deploy.kubernetes", "undeploy"]],
    "image": [["-m", "deploy.kubernetes.registry"]],
    # One test after the other: there is one cluster.
    "e2e": [["-m", "pytest", "-m", "e2e", "-n", "0", "-o", "faulthandler_timeout=0", *LIVE_LOG]],
    "install": [],
}
USAGE = f"usage: python3 deploy/local {{{' | '.join(COMMANDS)}}} [ARGUMENT ...]"


def main() -> None:
    """Ends the process with the command's exit code; 2 if it could not be run, with one sentence on stderr."""
    check_python(sys.version_info[:2])
    name, *arguments = sys.argv[1:] or [""]
    if name in ("-h", "--help"):
        print(USAGE)
        sys.exit(0)
    if name not in COMMANDS:
        fail(USAGE)
    if name in ("up", "install") and arguments:
        fail(f"`{name}` takes no arguments, but got {' '.join(arguments)!r}: settings come from the environment.")
    os.chdir(str(ROOT))
    # Two commands at once: one installs, the other waits.
    with LISTS["service"].open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("waiting for another command, which installs packages")
            fcntl.flock(lock, fcntl.LOCK_EX)
        # pip holds the lock too: it goes on for a while if this process is killed.
        os.set_inheritable(lock.fileno(), True)
        try:
            names = list(LISTS)
            last = names.index(NEEDS[name])
            install({listed: LISTS[listed].read_bytes() for listed in names[: last + 1]})
        except OSError as error:
            fail(f"can't install into {VENV}: {error}.")
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        # Who wants no compiled modules beside the sources gets them into .venv: pip has compiled none.
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(VENV / "pycache"))
    if name == "up":
        say("starting the server, the gateway and the workers")
    run([[str(PYTHON), *command] for command in COMMANDS[name]], arguments)


def check_python(version: "tuple[int, ...]") -> None:
    """Ends the process with a sentence if this Python can't make the environment."""
    if not (3, 11) <= version < (3, 14):
        found = ".".join(map(str, version))
        fail(
            f"Leadtime needs Python 3.11, 3.12 or 3.13, but {sys.executable} is {found}: "
            "run it with one of those, such as `python3.12 deploy/local up`."
        )
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        fail(
            "Python's venv and pip are missing: install them first "
            "(on Debian: `apt-get install python3-venv python3-pip`)."
        )


def install(lists: "dict[str, bytes]") -> None:
    """Installs each list (its content by its name) into `.venv`, unless the stamp says that it is there."""
    # Scripts in an environment name its folder, so it can't be moved.
    maker = digest(sys.version.encode(), str(ROOT).encode())
    wanted = {name: digest(content) for name, content in lists.items()}
    found, *lines = STAMP.read_text(encoding="utf-8").split("\n") if STAMP.exists() else [""]
    installed = dict(line.split() for line in lines) if found == maker and PYTHON.exists() else {}
    missing = [name for name in wanted if installed.get(name) != wanted[name]]
    if not missing:
        return
    if found not in ("", maker) or not same_python():
        say("making the virtual environment .venv")
        checked([sys.executable, "-m", "venv", "--clear", str(VENV)], "making .venv")
        installed, missing = {}, list(wanted)
    STAMP.write_text(INSTALLING, encoding="utf-8")
    started = time.monotonic()
    packages = sum(content.count(b"==") for name, content in lists.items() if name in missing)
    say(f"downloading {packages} packages, once (for: {', '.join(missing)})")
    # The lists are complete, so pip need not look for what each package depends on. Modules are compiled when first
    # imported: most never are.
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--no-compile"]
    files = [argument for name in missing for argument in ("--requirement", str(LISTS[name]))]
    checked([*pip, "--require-hashes", *files], "installing the packages", Progress(packages))
    STAMP.write_text("\n".join([maker, *map(" ".join, {**installed, **wanted}.items())]), encoding="utf-8")
    say(f"installed in {time.monotonic() - started:.0f} s")


class Progress:
    """Tells how far pip is, by what it prints."""

    def __init__(self, packages: int) -> None:
        self._packages = packages
        self._collected = 0

    def __call__(self, line: bytes) -> None:
        """Takes one line of pip's output."""
        if line.startswith(b"Collecting "):
            self._collected += 1
            if self._collected % 20 == 0:
                say(f"downloading: {self._collected} of {self._packages} packages")
        elif line.startswith(b"Installing collected packages"):
            say("installing them into .venv")


def digest(*parts: bytes) -> str:
    """A short hash."""
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:32]


def same_python() -> bool:
    """Whether `.venv` works and was made with a Python of this very version."""
    command = [str(PYTHON), "-c", "import sys; print(sys.version)"]
    try:
        found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return found.stdout.decode().strip() == sys.version


def checked(command: "list[str]", what: str, on_line: "Callable[[bytes], None] | None" = None) -> None:
    """Runs a command quietly, handing each line to `on_line`. If it fails, shows all it said and ends the process."""
    environment = dict(os.environ, PIP_USER="0")  # a user's `--user` default does not work in an environment
    said = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, close_fds=False
    ) as running:
        for line in running.stdout or []:
            said.append(line)
            if on_line:
                on_line(line)
    if running.returncode:
        sys.stderr.buffer.write(b"".join(said))
        sys.stderr.flush()
        fail(f"{what} failed (exit code {running.returncode}, what it said is above); the next try starts afresh.")


def run(commands: "list[list[str]]", arguments: "list[str]") -> NoReturn:
    """Runs every command and ends the process: with the first exit code that is not 0, if there is one."""
    if len(commands) == 1:
        os.execv(commands[0][0], [*commands[0], *arguments])  # noqa: S606
    code = 0
    for position, command in enumerate(commands, start=1):
        last = position == len(commands)
        done = subprocess.run([*command, *arguments] if last else command, check=False)
        code = code or done.returncode
    sys.exit(code)


def say(text: str) -> None:
    """A line of progress, on stderr."""
    print(f"leadtime: {text}", file=sys.stderr, flush=True)


def fail(sentence: str) -> NoReturn:
    """Ends the process with a sentence."""
    say(sentence)
    sys.exit(2)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
    sys.exit(130)
