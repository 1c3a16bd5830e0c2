"""How a configuration comes onto a cluster: what kubectl is told, and when."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from bench.common.processes import ROOT
from bench.experiments.kubectl import ClusterError, Kubectl, current
from bench.experiments.stage import Stage
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from workers.stream import Stream, StreamSettings


def manifest(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "leadtime"}, "spec": spec}


def deployment(name: str, image: str) -> dict[str, Any]:
    container = {"name": name, "image": image, "command": ["python", "-m", "workers"]}
    return manifest("Deployment", name, template={"spec": {"containers": [container]}})


WANTED = [
    deployment("leadtime-gateway", "leadtime:dev"),
    manifest("StatefulSet", "leadtime-valkey"),
    deployment("leadtime-toy", "leadtime:dev"),
    manifest("ScaledObject", "leadtime-toy"),
]


class ToldOfStage(Kubectl):
    """Keeps what it is told, and answers as a cluster on which `pods` are there until the workers are scaled to 0.

    An HPA outlives its ScaledObject, and a scaler's pods their Deployment, by one look.
    """

    def __init__(self, *refused: str) -> None:
        super().__init__("somewhere")
        self.told: list[str] = []
        self.applied: list[dict[str, Any]] = []
        self.pods = 2
        self.autoscalers = self.scalers = 1
        self.refused = list(refused)
        self.jobs = 0

    async def run(self, *arguments: str, standard_input: bytes | None = None, timeout_s: float = 0) -> str:
        words = " ".join(word for word in arguments if not word.startswith("--") or word == "--replicas=0")
        words = words.partition(" -c ")[0]  # without the program
        items = json.loads(standard_input)["items"] if standard_input else []
        self.told.append(f"{words} {' '.join(item['metadata']['name'] for item in items)}".strip())
        if words in self.refused:
            self.refused.remove(words)
            raise ClusterError(f"kubectl {words}: refused")
        match arguments[0]:
            case "apply":
                self.applied += items
                self.jobs = 0  # its workers end them
            case "scale":
                assert self.autoscalers == self.scalers == 0, "another scaler is still there"
                self.pods = 0
            case "exec":
                assert self.pods == 0, "a worker, or a scaler, may still write"
            case "get" if arguments[1] == "horizontalpodautoscalers":
                found, self.autoscalers = self.autoscalers, 0
                return json.dumps({"items": [{}] * found})
            case "get" if arguments[1] == "pods" and "component=scaler" in arguments[2]:
                found, self.scalers = self.scalers, 0
                return json.dumps({"items": [{}] * found})
            case "get" if arguments[1] == "pods":
                return json.dumps({"items": [{}] * self.pods})
            case "get" if arguments[1] == "deployment":
                document = deployment(arguments[2], "leadtime:deployed")
                document["spec"]["replicas"] = self.pods
                return json.dumps(document)
            case _:
                pass
        return ""

    async def metrics(self, _: web.Request) -> web.Response:
        names = ("waiting", "pending", "deferred")
        return web.Response(text="".join(f"leadtime_jobs_{name} {self.jobs}.0\n" for name in names))


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.experiments.stage._LOOK_S", 0.01)


async def prepared(kubectl: ToldOfStage, surplus: list[dict[str, Any]]) -> list[str]:
    """What kubectl was told but looks, and what was said."""
    said: list[str] = []
    async with serving(web.get("/metrics", kubectl.metrics)) as url:
        stage = Stage(kubectl, url, said.append)
        try:
            await stage.prepare(WANTED, surplus)
        finally:
            await stage.aclose()
    return [line for line in kubectl.told if not line.startswith("get ")] + said


BROUGHT = [
    "apply leadtime-gateway leadtime-valkey leadtime-toy",
    "rollout status deployment/leadtime-gateway",
    "rollout status statefulset/leadtime-valkey",
    "rollout status deployment/leadtime-toy",
    "apply leadtime-toy",
    "wait scaledobject/leadtime-toy",
]
REMOVED = ["delete scaledobjects", "delete deployment leadtime-scaler", "delete lease leadtime-scaler"]
FRESH = [*REMOVED, "scale deployment leadtime-toy --replicas=0", "exec deployment/leadtime-gateway python", *BROUGHT]


async def test_a_run_begins_without_workers_and_with_a_new_scaler() -> None:
    kubectl = ToldOfStage()
    assert await prepared(kubectl, []) == FRESH
    images = [one["spec"]["template"]["spec"]["containers"][0]["image"] for one in kubectl.applied if "template" in
              one["spec"]]  # fmt: skip
    assert images == ["leadtime:deployed"] * 2


async def test_what_is_surplus_is_deleted() -> None:
    told = await prepared(ToldOfStage(), [manifest("Role", "scaler")])
    assert told == [*REMOVED, "delete scaler", *FRESH[len(REMOVED) :]]


async def test_jobs_of_an_earlier_run_end_before_without_the_scaler_of_that_run() -> None:
    kubectl = ToldOfStage()
    kubectl.jobs = 3
    told = await prepared(kubectl, [deployment("leadtime-scaler", "leadtime:dev")])
    assert told == [
        *("delete leadtime-scaler", *BROUGHT),
        *(*REMOVED, "delete leadtime-scaler", *FRESH[len(REMOVED) :]),
        "waiting for jobs of an earlier run to end",
    ]


async def test_what_is_refused_at_first_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.experiments.stage.PAUSE_S", 0.01)
    told = await prepared(ToldOfStage("apply"), [])
    assert told == [*FRESH[: -len(BROUGHT)], BROUGHT[0], *BROUGHT]
    with pytest.raises(ClusterError, match="kubectl apply: refused"):
        await prepared(ToldOfStage("apply", "apply", "apply"), [])


async def test_what_a_scaler_has_learnt_is_forgotten(stream: Stream, settings: StreamSettings) -> None:
    """By the program itself, as a pod of the gateway would run it."""
    await stream.remember(state=b"learnt", decision=b"7")
    programs: list[str] = []

    class Executing(ToldOfStage):
        async def run(self, *arguments: str, standard_input: bytes | None = None, timeout_s: float = 0) -> str:
            if arguments[0] == "exec":
                programs.append(arguments[-1])
            return await super().run(*arguments, standard_input=standard_input, timeout_s=timeout_s)

    await prepared(Executing(), [])
    (program,) = programs
    environment = {"REDIS_URL": settings.redis_url, "QUEUE_NAME": settings.queue_name}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), cwd=ROOT, env=os.environ | environment
    )
    assert await process.wait() == 0
    assert await stream.remembered() == b""
    assert (await stream.demand()).decision == b""


def no_context(folder: Path) -> None:
    (folder / "config").write_text("", encoding="utf-8")


def nobody_there(folder: Path) -> None:
    cluster = {"name": "away", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "away", "context": {"cluster": "away", "user": "me"}}
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "away", "clusters": [cluster], "contexts": [context],
        "users": [{"name": "me", "user": {}}],
    }  # fmt: skip
    (folder / "config").write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "said"), [(no_context, "current-context is not set"), (nobody_there, "127.0.0.1:1")]
)  # fmt: skip
async def test_no_cluster_is_said(
    make: Callable[[Path], None], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(ClusterError, match=said):
        await current()
