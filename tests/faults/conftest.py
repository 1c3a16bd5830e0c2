"""Fixtures: a server of the test's own, that writes before it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
