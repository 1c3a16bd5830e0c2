"""The service's image: built inside minikube from just the files it is made of, and named after their content."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.kubernetes.tools import DeployError, answer, minikube, say, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
NAME = "leadtime"
DOCKERFILE = "deploy/Dockerfile"
SOURCES = (DOCKERFILE, "deploy/requirements.txt", "deploy/model-requirements.txt", "gateway", "workers")


def sources(root: Path = ROOT) -> Iterator[Path]:
    """The files that the image is made of, relative to the project's folder, sorted."""
    for source in SOURCES:
        path = root / source
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in found:
            if file.is_file() and "__pycache__" not in file.parts:
                yield file.relative_to(root)


def tag(root: Path = ROOT) -> str:
    """A name for this very content: another tag means other files, the same tag the same image."""
    digest = hashlib.sha256()
    for source in sources(root):
        content = (root / source).read_bytes()
        digest.update(f"{source.as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def build(root: Path = ROOT) -> str:
    """The image's name in minikube, where it is built unless it is there already. Raises DeployError."""
    image = f"{NAME}:{tag(root)}"
    if image in _names():
        say(f"the image {image} is there")
        return image
    say(f"building the image {image} inside minikube")
    with tempfile.TemporaryDirectory(prefix="leadtime-image-") as folder:
        context = Path(folder)
        for source in sources(root):
            (context / source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / source, context / source)
        shown(minikube("image", "build", "-t", image, "-f", DOCKERFILE, str(context)), "building the image")
    if image not in _names():
        # `minikube image build` ends with 0 whatever the build does.
        raise DeployError("building the image failed; what it said is above")
    return image


def remove() -> list[str]:
    """Removes all images of this name from minikube; those that it would not remove are returned."""
    left = []
    for image in sorted(name for name in _names() if name.startswith(f"{NAME}:")):
        try:
            answer(minikube("image", "rm", image), f"removing the image {image}")
        except DeployError as error:
            say(str(error))
            left.append(image)
    return left


def _names() -> set[str]:
    """The images in minikube, without docker.io's prefix."""
    lines = answer(minikube("image", "ls"), "listing minikube's images").splitlines()
    return {line.strip().removeprefix("docker.io/").removeprefix("library/") for line in lines}
