"""Fixtures: the cluster of kubectl's current context, the API in it, and a quiet start."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kubernetes_asyncio import client, config

from tests.e2e.api import Api, connected
from tests.e2e.cluster import GATEWAY, NAMESPACE, Cluster, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).parent
# Who scales the workers, and values with which they do.
VALUES = {"streams": "e2e", "keda": "scaler", "direct": "direct"}


def pytest_configure(config: pytest.Config) -> None:
    """The marker of tests that need one of these values."""
    config.addinivalue_line("markers", "scaled_by(*ways): wants workers that are scaled in one of these ways")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests in this folder are end-to-end tests, and none of the default ones."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("e2e")
            item.add_marker(pytest.mark.timeout(2400))


@pytest.fixture(autouse=True)
def quiet_libraries() -> None:
    """Only what the tests measure is logged."""
    for name in ("kubernetes_asyncio", "asyncio", "aiohttp"):
        logging.getLogger(name).setLevel(logging.WARNING)


@pytest.fixture
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """The cluster; tests are skipped where there is none or other values, and fail where the service isn't on it."""
    try:
        await config.load_kube_config()
    except config.ConfigException as error:
        pytest.skip(f"no cluster: kubectl has no current context ({error})")
    async with client.ApiClient() as api:
        try:
            async with asyncio.timeout(10):
                await client.VersionApi(api).get_code()
        except (OSError, client.ApiException) as error:
            pytest.skip(f"no cluster: the one of kubectl's current context does not answer ({error})")
        cluster = Cluster(api)
        try:
            await cluster.apps.read_namespaced_deployment(GATEWAY, NAMESPACE)
        except client.ApiException as error:
            pytest.fail(f"the service is not on the cluster: run `just deploy e2e` first ({error.reason})")
        marker = request.node.get_closest_marker("scaled_by")
        found = await cluster.scaled_by()
        if marker and found not in marker.args:
            commands = " or ".join(f"`just deploy {VALUES[way]}`" for way in marker.args)
            pytest.skip(f"the workers are scaled by {found!r}, the test is about {marker.args}: {commands} first")
        yield cluster


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    """The API, with no job left of an earlier test."""
    async with connected() as api:

        async def drained() -> bool:
            return await api.outstanding() == 0

        await until(drained, "the jobs of earlier tests have ended")
        yield api
        await until(drained, "stream, lag and pending are 0 again")
