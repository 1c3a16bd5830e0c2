"""The Debian packages that a model lists: which are named, and which are missing."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from deploy.local.model.packages import install_for
from deploy.local.model.system_packages import PackagesError, missing, packages_in

if TYPE_CHECKING:
    from pathlib import Path

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="needs Debian's dpkg")


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list beside a model's file."""
    (tmp_path / "doubles.py").touch()
    return tmp_path / "packages.txt"


def test_a_list_has_names_comments_and_versions(listed: Path) -> None:
    assert packages_in(listed) == []
    listed.write_text("# for video\nffmpeg libsndfile1:amd64=1.2-1\n\n  g++ # compiler\n")
    assert packages_in(listed) == ["ffmpeg", "libsndfile1:amd64", "g++"]


@pytest.mark.parametrize("word", ["-y", "ffmpeg;reboot", "./own.deb", "Numpy"])
def test_what_is_no_package_is_refused(listed: Path, word: str) -> None:
    listed.write_text(f"ffmpeg\n{word}\n")
    with pytest.raises(PackagesError, match="is no name of a Debian package"):
        install_for(f"{listed.with_name('doubles.py')}:Doubles")


@needs_dpkg
def test_missing_packages_are_named(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed.write_text("dpkg=9\nno-such-package\nnor-this\n")

    install_for(f"{listed.with_name('doubles.py')}:Doubles")

    said = f"leadtime: {listed} lists what is not installed here: apt-get install no-such-package nor-this\n"
    assert capsys.readouterr().err == said
    assert missing(["dpkg"]) == []


def test_without_dpkg_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert missing(["no-such-package"]) == []
