"""What is on the cluster: locked down, and as the manifests say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes_asyncio import client

from deploy.kubernetes import helm
from deploy.kubernetes.chart import CHART, RELEASE
from tests.e2e.api import proxied
from tests.e2e.cluster import NAMESPACE, SECRET, VALKEY, WORKERS_ACCOUNT, Cluster, until
from tests.e2e.helm import values_of_release
from workers.kubernetes.deletion_cost import DELETION_COST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.api import Api

ROOT = Path(__file__).resolve().parents[2]


async def test_push_to_finished_through_the_service(api: Api) -> None:
    """As a client sees it."""
    status, document = await api.ask("POST", "/push", params={"input": "hello"})
    assert status == 202
    result = await api.result(document["id"])
    assert result["input"] == "hello"
    assert result["output"].endswith("ran on hello")
    assert result["latency"] > 0


async def test_pods_are_restricted(cluster: Cluster) -> None:
    has_scaler = await cluster.scaled_by() != "streams"
    for component in ("gateway", "valkey", *(["scaler"] if has_scaler else [])):
        pods = await cluster.pods(component)
        assert pods
        for pod in pods:
            assert pod.spec.security_context.run_as_non_root
            assert pod.spec.security_context.seccomp_profile.type == "RuntimeDefault"
            assert pod.spec.automount_service_account_token is (component == "scaler")
            for container in pod.spec.containers:
                context = container.security_context
                assert context.read_only_root_filesystem
                assert context.allow_privilege_escalation is False
                assert context.capabilities.drop == ["ALL"]
    namespace = await cluster.core.read_namespace(NAMESPACE)
    assert namespace.metadata.labels["pod-security.kubernetes.io/enforce"] == "restricted"


async def test_privileged_pods_are_refused(cluster: Cluster) -> None:
    container = {"name": "x", "image": "x", "securityContext": {"privileged": True}}
    pod = {"metadata": {"name": "privileged"}, "spec": {"containers": [container]}}
    with pytest.raises(client.ApiException) as refusal:
        await cluster.core.create_namespaced_pod(NAMESPACE, pod, dry_run="All")
    assert refusal.value.status == 403


async def test_network_policies_are_there(cluster: Cluster) -> None:
    names = ("default-deny", "dns", "gateway", "workers", "valkey", "to-redis")
    found = {p.metadata.name: p.spec for p in (await cluster.network.list_namespaced_network_policy(NAMESPACE)).items}
    assert {f"leadtime-{name}" for name in names} <= found.keys()
    (rule,) = found[VALKEY].ingress
    assert len(rule._from) == 3
    assert [port.port for port in rule.ports] == [6379]


async def test_worker_may_only_annotate_its_own_pod(cluster: Cluster, api: Api) -> None:
    """Asked with a token as a worker's pod has it."""
    job_id = await api.push("token")

    async def has_worker() -> bool:
        return bool(await cluster.names())

    await until(has_worker, "a worker pod is there")
    (pod, *_) = await cluster.pods("worker")
    (other, *_) = await cluster.pods("gateway")
    async with cluster.account(WORKERS_ACCOUNT, pod) as worker:
        core = client.CoreV1Api(worker)
        cost = {"metadata": {"annotations": {DELETION_COST: "3"}}}
        await core.patch_namespaced_pod(pod.metadata.name, NAMESPACE, cost, dry_run="All")
        label = {"metadata": {"labels": {"app.kubernetes.io/component": "gateway"}}}
        image = {"spec": {"containers": [{"name": "worker", "image": "other"}]}}
        calls: list[Any] = [
            core.patch_namespaced_pod(other.metadata.name, NAMESPACE, cost, dry_run="All"),
            core.patch_namespaced_pod(pod.metadata.name, NAMESPACE, label, dry_run="All"),
            core.patch_namespaced_pod(pod.metadata.name, NAMESPACE, image, dry_run="All"),
            core.list_namespaced_pod(NAMESPACE),
            core.read_namespaced_secret(SECRET, NAMESPACE),
            core.delete_namespaced_pod(pod.metadata.name, NAMESPACE, dry_run="All"),
        ]
        for call in calls:
            with pytest.raises(client.ApiException) as refusal:
                await call
            assert refusal.value.status in (403, 422)
    await api.result(job_id)


@pytest.mark.scaled_by("streams", "keda")
async def test_keda_is_ready(cluster: Cluster) -> None:
    conditions = {c["type"]: c["status"] for c in (await cluster.scaled_object())["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    assert conditions.get("Fallback") != "True"


async def test_second_deploy_changes_nothing(cluster: Cluster, api: Api) -> None:
    """Neither an object nor a pod."""
    await cluster.until_idle()
    before = await state_of(cluster)
    values = (await cluster.core.read_namespace(NAMESPACE)).metadata.annotations["leadtime/values"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.kubernetes", "deploy", values), cwd=ROOT, env=os.environ
    )
    assert await process.wait() == 0
    assert await state_of(cluster) == before
    assert await api.outstanding() == 0


async def test_a_second_release_beside_it_serves(cluster: Cluster, api: Api) -> None:
    """In a namespace of its own, with its own server; the first one knows nothing of it, then or later."""
    await cluster.until_idle()
    before = await state_of(cluster)
    values = await asyncio.to_thread(values_of_release, RELEASE, NAMESPACE)

    async with namespace(cluster, "leadtime-e2e-beside") as beside:
        await asyncio.to_thread(helm.upgrade, CHART, "beside", beside, values)
        try:
            async with proxied(beside, "beside-gateway") as second:
                job_id = await second.push("beside")
                result = await second.result(job_id)
            unknown, _ = await api.ask("GET", f"/status/{job_id}")
        finally:
            await asyncio.to_thread(helm.uninstall, "beside", beside)

    assert result["output"].endswith("ran on beside")
    assert unknown == 404
    assert await state_of(cluster) == before


@contextlib.asynccontextmanager
async def namespace(cluster: Cluster, name: str) -> AsyncIterator[str]:
    """Makes a namespace, restricted as the service's own; takes it away with all in it, and waits until it is gone."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    await cluster.core.create_namespace({"metadata": {"name": name, "labels": labels}})
    try:
        yield name
    finally:
        await cluster.core.delete_namespace(name)

        async def gone() -> bool:
            found = await cluster.core.list_namespace(field_selector=f"metadata.name={name}")
            return not found.items

        await until(gone, f"the namespace {name} is gone")


async def state_of(cluster: Cluster) -> dict[str, Any]:
    """What a deploy may change: generations of what has one, versions of the rest, the pods. Helm's own notes aside."""
    core, apps = cluster.core, cluster.apps
    lists: list[Any] = [
        apps.list_namespaced_deployment(NAMESPACE),
        apps.list_namespaced_stateful_set(NAMESPACE),
        cluster.network.list_namespaced_network_policy(NAMESPACE),
        core.list_namespaced_config_map(NAMESPACE),
        core.list_namespaced_secret(NAMESPACE),
        core.list_namespaced_service(NAMESPACE),
        core.list_namespaced_service_account(NAMESPACE),
        core.list_namespaced_persistent_volume_claim(NAMESPACE),
    ]
    state = {}
    for listed in await asyncio.gather(*lists):
        for item in listed.items:
            if getattr(item, "type", "") == "helm.sh/release.v1":
                continue
            version = item.metadata.generation or item.metadata.resource_version
            state[f"{type(item).__name__} {item.metadata.name} {item.metadata.uid}"] = version
    if await cluster.scaled_by() != "direct":
        state["ScaledObject"] = (await cluster.scaled_object())["metadata"]["generation"]
    for component in ("gateway", "valkey", "scaler", "worker"):
        for pod in await cluster.pods(component):
            state[f"pod {pod.metadata.uid}"] = sum(status.restart_count for status in pod.status.container_statuses)
    return state
