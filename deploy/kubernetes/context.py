"""What the service's image is built from: the code, the lists of packages, and the folder of the model's file.

    python -m deploy.kubernetes.context FOLDER

writes it into a new folder, for a registry: `docker build --file FOLDER/deploy/Dockerfile FOLDER`. Reads the settings
MODEL, and BASE, the image that it starts from.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from deploy.kubernetes.tools import DeployError, say
from deploy.local.model.packages import REQUIREMENTS, folder_of
from deploy.local.model.system_packages import SYSTEM_PACKAGES, PackagesError, packages_in
from workers.settings import WorkerSettings, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = "deploy/Dockerfile"
MODEL_FOLDER = "deploy/model"
SOURCES = (DOCKERFILE, "deploy/requirements.txt", MODEL_FOLDER, "gateway", "workers")
DEFAULT_MODEL: str = WorkerSettings.model_fields["model"].default
_IN_IMAGE = "/opt/model"
_FILE = re.compile(r"[A-Za-z0-9_-]+\.py")
_BASE = re.compile(r"[a-z0-9][\w./:@-]*")
# Lines of requirements.txt that need other files than this one.
_OTHER_FILES = re.compile(
    r"^\s*(-[rce]\s*\S+|--(?:requirement|constraint|editable)[\s=]+\S+|\.{0,2}/\S*)", re.MULTILINE
)

Context: TypeAlias = "Mapping[str, Path | bytes]"
"""Files by their path in the image's context; of some there is the content, not a file."""


def context(model: str = DEFAULT_MODEL, base: str = "", root: Path = ROOT) -> Context:
    """What the image of a model is made of. An empty `base` is the one that the Dockerfile says.

    Raises DeployError.
    """
    found: dict[str, Path | bytes] = {}
    for source in SOURCES:
        path = root / source
        for file in _files(path) if path.is_dir() else [path]:
            found[file.relative_to(root).as_posix()] = file
    folder = folder_of(model)
    if folder is not None:
        file = Path(model.rpartition(":")[0])
        if not file.is_file():
            raise DeployError(f"MODEL={model} names a file that is not there")
        if not _FILE.fullmatch(file.name):
            raise DeployError(
                f"{file.name} has characters that the image does not take: a to z, 0 to 9, _ and - are fine"
            )
        model = f"{_IN_IMAGE}/{Path(model).name}"
        found = {name: file for name, file in found.items() if not name.startswith(f"{MODEL_FOLDER}/")}
        found |= _of_model(folder)
    values = {"BASE": base, "MODEL": "" if model == DEFAULT_MODEL else model}
    found[DOCKERFILE] = _with_values((root / DOCKERFILE).read_text(encoding="utf-8"), values)
    return dict(sorted(found.items()))


def _of_model(folder: Path) -> dict[str, Path | bytes]:
    """The folder of a model's file, and of its two lists those that are missing."""
    if folder in (Path.home().resolve(), Path(folder.anchor)):
        raise DeployError(f"all that is in {folder} would go into the image: put the model into a folder of its own")
    found: dict[str, Path | bytes] = {f"{MODEL_FOLDER}/{REQUIREMENTS}": b"", f"{MODEL_FOLDER}/{SYSTEM_PACKAGES}": b""}
    for file in _files(folder):
        found[f"{MODEL_FOLDER}/{file.relative_to(folder).as_posix()}"] = file
    try:
        packages_in(folder / SYSTEM_PACKAGES)
        listed = folder / REQUIREMENTS
        if listed.is_file() and (other := _OTHER_FILES.search(listed.read_text(encoding="utf-8"))):
            raise DeployError(f"{listed} names another file ({other[1]}), but the image is given this one alone")
    except PackagesError as error:
        raise DeployError(str(error)) from None
    return found


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder but hidden ones, compiled ones and virtual environments; links are followed, once."""
    seen = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        path = Path(name)
        seen.add(path.resolve())
        folders[:] = [
            one
            for one in folders
            if not one.startswith(".")
            and one != "__pycache__"
            and not (path / one / "pyvenv.cfg").exists()
            and (path / one).resolve() not in seen
        ]
        for one in files:
            if not one.startswith(".") and (path / one).is_file():
                yield path / one


def _with_values(dockerfile: str, values: Mapping[str, str]) -> bytes:
    """The Dockerfile with other defaults of its arguments: not each way to build takes arguments in the same form."""
    if values["BASE"] and not _BASE.fullmatch(values["BASE"]):
        raise DeployError(f"BASE={values['BASE']} is no name of an image")
    lines = dockerfile.splitlines(keepends=True)
    for position, line in enumerate(lines):
        name = line.removeprefix("ARG ").partition("=")[0]
        if line.startswith("ARG ") and values.get(name):
            lines[position] = f"ARG {name}={values[name]}\n"
    return "".join(lines).encode()


def digest(files: Context) -> str:
    """A name for this very content."""
    whole = hashlib.sha256()
    for name, file in files.items():
        if isinstance(file, bytes):
            of_file = hashlib.sha256(file).hexdigest()
        else:
            with file.open("rb") as opened:
                of_file = hashlib.file_digest(opened, "sha256").hexdigest()
        whole.update(f"{of_file} {name}\n".encode())
    return whole.hexdigest()[:16]


def size_bytes(files: Context) -> int:
    """Of all files together."""
    return sum(len(file) if isinstance(file, bytes) else file.stat().st_size for file in files.values())


def write(files: Context, folder: Path) -> None:
    """Writes the files into a folder."""
    for name, file in files.items():
        at = folder / name
        at.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(file, bytes):
            at.write_bytes(file)
        else:
            shutil.copy(file, at)


def from_environment() -> Context:
    """What the image of MODEL, on BASE, is made of. Raises DeployError."""
    return context(load(WorkerSettings).model, os.environ.get("BASE", ""))


def main() -> None:
    """Ends the process with 0, or 1 and one sentence on stderr."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m deploy.kubernetes.context FOLDER")
    folder = Path(sys.argv[1])
    try:
        files = from_environment()
        folder.mkdir(parents=True)
        write(files, folder)
    except (DeployError, OSError) as error:
        say(f"error: {error}")
        sys.exit(1)
    say(f"{len(files)} files, {size_bytes(files) / 1e6:.1f} MB: docker build --file {folder / DOCKERFILE} {folder}")


if __name__ == "__main__":
    main()
