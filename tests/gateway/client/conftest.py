"""A client of the gateway that the tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.client import AsyncClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.gateway.service import GatewayProcess


@pytest.fixture
async def client(gateway: GatewayProcess) -> AsyncIterator[AsyncClient]:
    """A client of `gateway`."""
    async with AsyncClient(gateway.base) as client:
        yield client
