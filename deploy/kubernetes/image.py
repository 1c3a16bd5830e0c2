"""The service's image: built inside minikube from just the files that it is made of, and named after their content."""

from __future__ import annotations

import tempfile
from pathlib import Path

from deploy.kubernetes import context
from deploy.kubernetes.tools import DeployError, answer, minikube, say, shown

NAME = "leadtime"


def build() -> str:
    """The image's name in minikube, where it is built unless it is there already. Raises DeployError."""
    files = context.from_environment()
    image = f"{NAME}:{context.digest(files)}"
    if image in _names():
        say(f"the image {image} is there")
        return image
    size_mb = context.size_bytes(files) / 1e6
    say(f"building the image {image} inside minikube, from {len(files)} files of {size_mb:.1f} MB")
    with tempfile.TemporaryDirectory(prefix="leadtime-image-") as folder:
        context.write(files, Path(folder))
        shown(minikube("image", "build", "-t", image, "-f", context.DOCKERFILE, folder), "building the image")
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
