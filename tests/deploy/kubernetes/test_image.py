"""What the image is built from, and the steps of its Dockerfile that can be run without a container."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.kubernetes.context import DOCKERFILE, SOURCES, Context, context, digest, write
from deploy.kubernetes.tools import DeployError
from deploy.local.__main__ import LISTS
from deploy.local.model.packages import constraints_of
from tests.processes import PATIENCE_S, ROOT


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's file, in a folder with things that models have beside them."""
    folder = tmp_path / "doubles"
    files = ("doubles.py", "weights/layer-0.bin", "__pycache__/doubles.pyc", ".git/config", "env/pyvenv.cfg", "env/big")
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder / "doubles.py"


def dockerfile_of(files: Context) -> str:
    content = files[DOCKERFILE]
    assert isinstance(content, bytes)
    return content.decode()


def steps_of(stage: str) -> list[str]:
    """The shell commands of a stage."""
    text = re.sub(r"\\\n\s*", "", (ROOT / DOCKERFILE).read_text(encoding="utf-8"))
    lines = text.partition(f" AS {stage}\n")[2].partition("\nFROM ")[0].splitlines()
    return [line.removeprefix("RUN ") for line in lines if line.startswith("RUN ")]


def test_image_is_named_after_its_content(model: Path) -> None:
    name = f"{model}:Doubles"
    before = digest(context(name))

    assert before == digest(context(name))
    assert (
        len({before, digest(context()), digest(context(f"{model}:Other")), digest(context(name, "python:3.12"))}) == 4
    )
    (model.parent / "weights/layer-0.bin").write_text("trained")
    assert digest(context(name)) != before


def test_dockerignore_lets_the_same_files_through() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == set(SOURCES)
    assert "*" in lines


def test_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not packaged for this kind of machine")
    done = subprocess.run([hadolint, ROOT / DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_dockerfile_copies_what_it_is_sent() -> None:
    text = (ROOT / DOCKERFILE).read_text(encoding="utf-8")
    copied = {line.split()[1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line}
    assert copied >= set(SOURCES) - {DOCKERFILE}
    assert all((ROOT / path).exists() for path in copied)


def test_the_folder_of_a_models_file_goes_into_the_image(model: Path, tmp_path: Path) -> None:
    files = context(f"{model}:Doubles", "registry.example.com/cuda@sha256:0123")

    write(files, tmp_path / "context")

    sent = tmp_path / "context/deploy/model"
    found = {path.relative_to(sent).as_posix() for path in sent.rglob("*") if path.is_file()}
    assert found == {"doubles.py", "weights/layer-0.bin", "requirements.txt", "packages.txt"}
    assert (sent / "requirements.txt").read_bytes() == b""
    lines = dockerfile_of(files).splitlines()
    assert "ARG MODEL=/opt/model/doubles.py:Doubles" in lines
    assert "ARG BASE=registry.example.com/cuda@sha256:0123" in lines


def test_the_lists_beside_a_model_are_those_of_the_image(model: Path) -> None:
    for name in ("requirements.txt", "packages.txt"):
        model.with_name(name).write_text("one\n")
        assert context(f"{model}:Doubles")[f"deploy/model/{name}"] == model.with_name(name)


def test_a_model_of_a_module_is_served_by_its_name() -> None:
    assert "ARG MODEL=their.module:Class" in dockerfile_of(context("their.module:Class")).splitlines()
    assert context()[DOCKERFILE] == (ROOT / DOCKERFILE).read_bytes()
    assert context()["deploy/model/requirements.txt"] == ROOT / "deploy/model/requirements.txt"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("requirements.txt", "numpy\n-r more.txt\n", r"requirements.txt names another file \(-r more.txt\), but the"),
        ("requirements.txt", "./wheels/own-1.0-py3-none-any.whl\n", r"names another file \(./wheels/own-1.0"),
        ("packages.txt", "ffmpeg -o=x\n", r"packages.txt: '-o=x' is no name of a Debian package"),
    ],
)
def test_a_list_that_the_image_can_not_take_is_refused(model: Path, name: str, content: str, said: str) -> None:
    model.with_name(name).write_text(content)
    with pytest.raises(DeployError, match=said):
        context(f"{model}:Doubles")


def test_a_model_that_the_image_can_not_take_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeployError, match="names a file that is not there"):
        context(f"{model.with_name('missing.py')}:Doubles")
    odd = model.with_name("dou bles.py")
    odd.touch()
    with pytest.raises(DeployError, match=r"dou bles.py has characters that the image does not take"):
        context(f"{odd}:Doubles")
    with pytest.raises(DeployError, match="is no name of an image"):
        context(f"{model}:Doubles", "python:3.13\nRUN true")
    monkeypatch.setenv("HOME", str(model.parent))
    with pytest.raises(DeployError, match="put the model into a folder of its own"):
        context(f"{model}:Doubles")


def test_a_link_in_a_models_folder_is_followed_once(model: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/layer-1.bin").write_text("1")
    (model.parent / "more").symlink_to(tmp_path / "elsewhere")
    (model.parent / "self").symlink_to(model.parent)

    sent = [name for name in context(f"{model}:Doubles") if name.startswith("deploy/model/")]

    assert [name for name in sent if name.endswith("/more/layer-1.bin")]
    assert not [name for name in sent if "self" in name]


def test_context_is_written_for_another_builder(model: Path, tmp_path: Path) -> None:
    environment = {"MODEL": f"{model}:Doubles", "PATH": str(tmp_path)}
    command = [sys.executable, "-m", "deploy.kubernetes.context", str(tmp_path / "out")]

    first, again = (
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        for _ in range(2)
    )

    assert first.returncode == 0, first.stderr
    assert first.stderr.endswith(f"docker build --file {tmp_path}/out/deploy/Dockerfile {tmp_path}/out\n")
    assert again.returncode == 1
    assert again.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["orjson", "orjson<3"])
def test_the_image_keeps_the_services_packages(tmp_path: Path, asked: str) -> None:
    """The steps that install the model's packages, with this environment in the place of the service's."""
    build, installed = tmp_path / "build", tmp_path / "opt"
    (build / "model").mkdir(parents=True)
    installed.mkdir()
    (build / "model/requirements.txt").write_text(f"{asked}\n")
    (build / "requirements.txt").write_bytes(LISTS["service"].read_bytes())
    for link in (build / "pip", installed / "leadtime"):
        link.symlink_to(sys.prefix)
    step, _compile = (
        re.sub(r"(?<=[ (])/(build|opt)/", rf"{tmp_path}/\1/", one.replace("python3", sys.executable))
        for one in steps_of("packages")
    )
    command = step.replace('"$(echo /opt/', f'"$(echo {tmp_path}/opt/')

    done = subprocess.run(["/bin/sh", "-ec", command], capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    assert (build / "constraints.txt").read_text().splitlines() == list(constraints_of("service"))
    assert ("Requirement already satisfied: orjson" in done.stdout) == (asked == "orjson"), done.stdout
    assert (done.returncode == 0) == (asked == "orjson"), done.stderr
    assert not list((installed / "model-packages").rglob("orjson"))
