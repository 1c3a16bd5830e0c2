"""Fixtures: a server of the test's own, that writes before it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers import Server, server_binaries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=sorted(server_binaries()))
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A running server with `appendfsync always`, of each kind there is."""
    data = tmp_path / "server"
    data.mkdir()
    server = Server(server_binaries()[request.param], data, "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    yield server
    server.kill()
