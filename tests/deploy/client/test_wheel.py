"""The wheel that has the client alone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

import workers
from deploy.client.__main__ import CODE, build
from tests.gateway.client.answering import answering
from tests.gateway.service import serving
from tests.queues import opened, queue_name
from workers.stream import StreamSettings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

USE = """
import leadtime, sys
with leadtime.Client() as client:
    print(client.run("hello")["output"])
print([name for name in ("gateway", "workers", "deploy", "starlette", "redis") if name in sys.modules])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built."""
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.mark.slow
def test_the_wheel_has_one_package_and_the_projects_version(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    code = {f"leadtime/{path.relative_to(CODE).as_posix()}" for path in CODE.rglob("*.py")}

    assert wheel.name == f"leadtime-{workers.__version__}-py3-none-any.whl"
    assert {name for name in names if not name.startswith("leadtime-")} == {*code, "leadtime/py.typed"}


@pytest.mark.slow
async def test_the_installed_wheel_works_beside_a_users_own_packages(
    wheel: Path, valkey: Server, tmp_path: Path
) -> None:
    """In an environment of its own, which has what the client needs by way of the one that runs this."""
    for name in ("gateway", "workers"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the client imports a package of its user')")
    venv = tmp_path / "venv"
    await _said(sys.executable, "-m", "venv", "--without-pip", str(venv))
    [packages] = venv.glob("lib/*/site-packages")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(venv / "bin" / "python")]
    await _said(*pip, "install", "--no-index", "--no-deps", str(wheel))
    [here] = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "needs.pth").write_text(here)

    settings = StreamSettings(redis_url=valkey.url, queue_name=queue_name())
    async with opened(settings) as stream, serving(settings) as base, answering(stream):
        environment = {"LEADTIME_URL": base, "PATH": os.environ["PATH"]}
        used = await _said(str(venv / "bin" / "python"), "-c", USE, cwd=tmp_path, environment=environment)
        ran = await _said(str(venv / "bin" / "leadtime"), "run", "again", cwd=tmp_path, environment=environment)

    assert used.splitlines() == ["HELLO", "[]"]
    assert ran == "AGAIN"


async def _said(*command: str, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """What a command that must succeed has printed."""
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout).strip()
