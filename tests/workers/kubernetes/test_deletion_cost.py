"""A worker's pod: its grace time, and its deletion cost as an API server is told it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from aiohttp import web
from arq.worker import func

from tests.serving import serving
from tests.workers.service import WorkerProcess, push, running, until
from workers.kubernetes.deletion_cost import DELETION_COST, HAND_BACK_S, PodSettings, keep_deletion_cost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from workers.settings import WorkerSettings
    from workers.stream import Stream

POD = PodSettings(pod_name="workers-1", pod_namespace="leadtime")


class ApiServer:
    """Takes patches of pods, as the API server does; refuses the first `refusals`."""

    def __init__(self, refusals: int) -> None:
        self.url = ""
        self.refusals = refusals
        self.costs: list[str] = []

    async def patch(self, request: web.Request) -> web.Response:
        assert request.match_info["rest"] == "api/v1/namespaces/leadtime/pods/workers-1"
        assert request.content_type == "application/strategic-merge-patch+json"
        if self.refusals > 0:
            self.refusals -= 1
            return web.json_response({"reason": "Forbidden"}, status=403)
        body = await request.json()
        assert body.keys() == {"metadata"}
        (annotation,) = body["metadata"]["annotations"].items()
        assert annotation[0] == DELETION_COST
        self.costs.append(annotation[1])
        return web.json_response({"kind": "Pod", "metadata": {"name": "workers-1"}})


@contextlib.asynccontextmanager
async def api_server(refusals: int = 0) -> AsyncIterator[ApiServer]:
    server = ApiServer(refusals)
    async with serving(web.patch("/{rest:.*}", server.patch)) as server.url:
        yield server


async def test_cost_is_the_number_of_running_jobs(one_stream: Stream, one_settings: WorkerSettings) -> None:
    go_on = asyncio.Event()

    async def wait(ctx: dict[Any, Any], *_: Any, **__: Any) -> None:
        await go_on.wait()

    async with api_server(refusals=1) as server, running(one_settings, [func(wait, name="wait")], max_jobs=5) as worker:
        worker.watch(keep_deletion_cost(lambda: worker.life.running, POD, server.url), "deletion cost")
        await until(lambda: server.costs == ["0"])
        for _ in range(2):
            await push(one_stream, "wait")
        await until(lambda: server.costs[-1] == "2")
        go_on.set()
        await until(lambda: server.costs[-1] == "0")


async def test_worker_goes_on_without_an_api_server(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    """Its pod is named, but there is no token."""
    with WorkerProcess(tmp_path, one_settings, POD_NAME="workers-1", POD_NAMESPACE="leadtime") as worker:
        await worker.says("the pod's deletion cost is not kept")
        await worker.says("ready")
        assert worker.exit_code is None
        worker.terminate()
        assert await worker.code() == 0


def test_grace_is_what_the_pod_leaves_of_it(one_settings: WorkerSettings) -> None:
    assert PodSettings(termination_s=0).grace_s(one_settings) == one_settings.grace_s
    assert PodSettings(termination_s=40).grace_s(one_settings) == 40 - HAND_BACK_S
    assert PodSettings(termination_s=3).grace_s(one_settings) == 0
