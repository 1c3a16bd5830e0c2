"""Stores for tests: a folder, and a bucket of a real S3 that is started once."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from workers.objects.store import ObjectStore
from workers.settings import ObjectSettings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.objects import S3Server


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """An empty store, of each kind that can be had here."""
    if request.param == "file":
        return ObjectStore(ObjectSettings(object_store=f"file:{tmp_path / 'objects'}"))
    s3: S3Server = request.getfixturevalue("s3")
    for name, value in s3.variables.items():
        monkeypatch.setenv(name, value)
    return ObjectStore(ObjectSettings(object_store=f"{s3.url}/{uuid.uuid4().hex}"))
