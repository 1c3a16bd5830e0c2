"""Fixtures: a server of the test's own, that writes before it answers, and an object store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.objects import S3Server
from tests.servers import Server, durable_server, server_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=server_kinds())
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A running server with `appendfsync always`, of each kind there is."""
    server = durable_server(request.param, tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_s3(tmp_path: Path) -> Iterator[S3Server]:
    """A bucket of the test's own, which it may kill."""
    folder = tmp_path / "s3"
    folder.mkdir()
    s3 = S3Server(folder)
    s3.start()
    yield s3
    s3.kill()
