"""An image for a registry: `just image REGISTRY/NAME:TAG [MODEL FOLDER]`.

Builds it with docker, buildah or minikube, whichever is there first, and pushes it. Without a model's folder it has the
model that MODEL names; of a folder, the class in its one file with a `predict`. Reads BASE as `deploy` does. PUSH=0
leaves it here.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from deploy.kubernetes import context
from deploy.kubernetes.tools import DeployError, minikube, say, shown, succeeds

# A command that fails where the tool can build nothing, as docker without its daemon.
_WORKS = {"docker": "info", "buildah": "info", "minikube": "status"}
# What a registry takes: host and port, folders, a name and a tag.
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+:[\w][\w.-]{0,127}")


def build(name: str, files: context.Context, push: bool = True) -> None:
    """Builds the image and pushes it. Raises DeployError."""
    if not _NAME.fullmatch(name):
        raise DeployError(f"{name} is no name for a registry, such as registry.example.com/leadtime:1")
    tool = builder()
    say(f"building {name} with {tool}, from {len(files)} files of {context.size_bytes(files) / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory(prefix="leadtime-image-") as folder:
        context.write(files, Path(folder))
        for what, command in commands(tool, name, folder, push):
            shown(command, what)


def builder() -> str:
    """docker, buildah or minikube, whichever works. Raises DeployError if none does."""
    for tool, works in _WORKS.items():
        if shutil.which(tool) and succeeds([tool, works]):
            return tool
    raise DeployError("neither docker nor buildah nor minikube works here: one of them builds the image")


def commands(tool: str, name: str, folder: str, push: bool) -> list[tuple[str, list[str]]]:
    """What the tool is told, each with what it is for."""
    if tool == "minikube":
        pushes = ["--push"] if push else []
        build = minikube("image", "build", "-t", name, "-f", context.DOCKERFILE, *pushes, folder)
        return [("building the image", build)]
    file = f"{folder}/{context.DOCKERFILE}"
    found = [("building the image", [tool, "build", "--tag", name, "--file", file, folder])]
    return [*found, ("pushing the image", [tool, "push", name])] if push else found


def model_in(folder: Path) -> str:
    """FILE:CLASS of the one class with a `predict` in a folder's Python files. Raises DeployError."""
    if not folder.is_dir():
        raise DeployError(f"{folder} is no folder")
    found = [f"{file}:{name}" for file in sorted(folder.glob("*.py")) for name in _models_in(file)]
    if len(found) != 1:
        which = f"there are {', '.join(found)}" if found else "there is none"
        raise DeployError(f"{folder} has to have one class with a `predict` or `predict_batch`, but {which}: name it")
    return found[0]


def _models_in(file: Path) -> list[str]:
    try:
        body = ast.parse(file.read_text(encoding="utf-8")).body
    except (SyntaxError, UnicodeDecodeError) as error:
        raise DeployError(f"{file} can't be read: {error}") from None
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        one.name
        for one in body
        if isinstance(one, ast.ClassDef)
        and any(isinstance(part, functions) and part.name in ("predict", "predict_batch") for part in one.body)
    ]


def main() -> None:
    """Ends the process with 0, or 1 and one sentence on stderr."""
    name, *rest = sys.argv[1:] or [""]
    if not name or name.startswith("-") or len(rest) > 1:
        sys.exit("usage: just image REGISTRY/NAME:TAG [MODEL FOLDER or FILE:CLASS]")
    try:
        files = context.from_environment()
        if rest:
            model = rest[0] if ":" in rest[0] else model_in(Path(rest[0]).absolute())
            files = context.context(model, os.environ.get("BASE", ""))
        build(name, files, push=os.environ.get("PUSH", "1") != "0")
    except (DeployError, OSError) as error:
        say(f"error: {error}")
        sys.exit(1)
    say(f"{name} is built" + ("" if os.environ.get("PUSH", "1") == "0" else " and pushed"))


if __name__ == "__main__":
    main()
