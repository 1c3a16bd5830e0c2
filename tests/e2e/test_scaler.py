"""The start-up-aware scaler in place, through KEDA (`just deploy scaler`) or alone (`just deploy direct`)."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes_asyncio import client

from tests.e2e.cluster import GATEWAY, IDLE_S, NAMESPACE, SCALER, SECRET, WORKERS, Cluster, until
from tests.e2e.jobs import push_many, results_of
from tests.e2e.scaler import REPLICAS, DeployedScaler
from tests.e2e.stranger import reached_by_a_stranger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.api import Api

logger = logging.getLogger(__name__)

pytestmark = pytest.mark.scaled_by("keda", "direct")

# Longer than two ticks of the HPA.
AWAY_S = 40


@pytest.fixture
async def scaler(cluster: Cluster) -> AsyncIterator[DeployedScaler]:
    """Both replicas of it, with nothing learnt and no worker; and both again after the test."""
    scaler = DeployedScaler(cluster)
    await scaler.begin_anew()
    yield scaler
    await scaler.scale(REPLICAS)


async def test_workers_come_and_go_as_was_decided(cluster: Cluster, api: Api, scaler: DeployedScaler) -> None:
    """0 -> n -> 0, every number of workers was decided, and the log says why."""
    most = await cluster.most()
    pushed_s = time.monotonic()
    ids = await push_many(api, "come and go", 10)
    timeline: list[tuple[float, int, int]] = []

    async def look() -> bool:
        row = (await cluster.replicas(), await cluster.ready())
        if not timeline or timeline[-1][1:] != row:
            timeline.append((round(time.monotonic() - pushed_s, 1), *row))
        return not row[0] and not await api.outstanding()

    await until(look, "the workers have come and gone", IDLE_S)
    logger.info("%d jobs, (seconds, replicas, ready): %s", len(ids), timeline)
    await results_of(api, ids)
    decisions = [one for pod in await cluster.names("scaler") for one in await scaler.decisions(pod)]
    for one in sorted(decisions):
        logger.info("%s", one)
    seen, decided = {replicas for _, replicas, _ in timeline}, {one.replicas for one in decisions}
    assert 1 < max(seen) <= most
    # KEDA goes to 1 on its way from 0 and back.
    assert seen <= decided | {0} | ({1} if await cluster.scaled_by() == "keda" else set())
    assert all(" needs " in one.reason for one in decisions)
    await cluster.until_idle()


@pytest.mark.parametrize("grace_s", [None, 0], ids=["told-to-stop", "killed"])
async def test_another_scaler_takes_over(
    cluster: Cluster, api: Api, scaler: DeployedScaler, grace_s: int | None
) -> None:
    """Workers start and run jobs: none of them is called off. A leader that is told to stop gives its Lease back."""
    ids = await push_many(api, "take over", 60)
    await cluster.until_replicas(lambda n: n > 1, "workers are wanted")
    leader = await scaler.leader()
    before: set[str] = set()
    called_off: list[tuple[set[str], int]] = []

    async def look() -> bool:
        """Until there are so few jobs that a worker may go."""
        jobs, names = await api.outstanding(), await cluster.names()
        if jobs > len(before):
            if gone := before - names:
                called_off.append((gone, int(jobs)))
            before.update(names)
        return jobs <= len(before)

    looking = asyncio.create_task(until(look, "most jobs have ended"))
    async with scaler.holders() as holders:
        await cluster.delete(leader, grace_s)
        deleted_s = time.monotonic()
        other_s = await scaler.until_another_leads(leader)
        other = await scaler.leader()
        first = await scaler.until_decided(other)
        logger.info("%s led %.1f s after %s was deleted: %s", other, other_s - deleted_s, leader, first)
    given_back = [leader, "", other]
    # A kubelet may leave even those that it kills a moment to stop.
    assert holders == given_back or (grace_s == 0 and holders == [leader, other])
    await looking
    assert called_off == []
    assert len(before) > 1
    logger.info("%d workers ran %d jobs", len(before), len(ids))
    await results_of(api, ids)


@pytest.mark.scaled_by("keda")
async def test_without_any_scaler_keda_keeps_workers(cluster: Cluster, api: Api, scaler: DeployedScaler) -> None:
    """Jobs that come then get a worker; those that are there stay. Afterwards KEDA asks the scaler again."""
    await scaler.scale(0)
    pushed_s = time.monotonic()
    ids = await push_many(api, "nobody there", 3)
    await results_of(api, ids)
    logger.info("without a scaler and a worker, 3 jobs took %.0f s", time.monotonic() - pushed_s)
    assert (await conditions_of(cluster))["Fallback"] == "True"
    await workers_stay(cluster, api, scaler)

    async def asked() -> bool:
        found = await conditions_of(cluster)
        return found["Ready"] == "True" and found["Fallback"] == "False"

    await until(asked, "KEDA asks the scaler again")


@pytest.mark.scaled_by("direct")
async def test_without_any_scaler_workers_stay(cluster: Cluster, api: Api, scaler: DeployedScaler) -> None:
    """Jobs that come when no worker is there wait for the scaler; those workers that are there end all jobs."""
    await scaler.scale(0)
    ids = await push_many(api, "nobody there", 3)
    assert await cluster.replicas() == 0
    await scaler.scale(REPLICAS)
    await results_of(api, ids)
    await workers_stay(cluster, api, scaler)


async def workers_stay(cluster: Cluster, api: Api, scaler: DeployedScaler) -> None:
    """While two or more are there the scaler goes, and comes back."""
    await scaler.scale(REPLICAS)
    ids = await push_many(api, "stay", 30)
    await ready_workers(cluster, 2)
    there = await cluster.replicas()
    await scaler.scale(0)
    for _ in range(AWAY_S):
        await asyncio.sleep(1)
        assert await cluster.replicas() >= there
    await results_of(api, ids)
    await scaler.scale(REPLICAS)


async def ready_workers(cluster: Cluster, count: int) -> None:
    """Returns when there are so many."""

    async def ready() -> bool:
        return await cluster.ready() >= count

    await until(ready, f"{count} workers are ready")


async def conditions_of(cluster: Cluster) -> dict[str, str]:
    """The ScaledObject's, by type."""
    return {one["type"]: one["status"] for one in (await cluster.scaled_object())["status"]["conditions"]}


async def test_scaler_may_do_what_it_needs_and_nothing_else(cluster: Cluster) -> None:
    """All that its account may do beyond what an account without a Role may."""
    mode = await cluster.scaled_by()
    expected = {
        ("", "pods", "", "list"),
        ("", "pods", "", "watch"),
        ("apps", "deployments/scale", WORKERS, "get"),
        ("apps", "deployments", WORKERS, "get"),
        ("", "events", "", "list"),
        ("coordination.k8s.io", "leases", "", "create"),
        ("coordination.k8s.io", "leases", SCALER, "get"),
        ("coordination.k8s.io", "leases", SCALER, "update"),
    }
    if mode == "direct":
        expected.add(("apps", "deployments/scale", WORKERS, "patch"))
    assert await rules_of(cluster, SCALER, NAMESPACE) - await rules_of(cluster, GATEWAY, NAMESPACE) == expected
    for namespace in ("default", "kube-system", "keda"):
        assert await rules_of(cluster, SCALER, namespace) == await rules_of(cluster, GATEWAY, namespace)

    async with cluster.account(SCALER) as api:
        core, apps, leases = client.CoreV1Api(api), client.AppsV1Api(api), client.CoordinationV1Api(api)
        assert (await apps.read_namespaced_deployment_scale(WORKERS, NAMESPACE)).metadata.name == WORKERS
        await core.list_namespaced_pod(NAMESPACE)
        (pod, *_) = await cluster.pods("gateway")
        scale: Any = {"spec": {"replicas": 0}}
        calls: list[Any] = [
            apps.patch_namespaced_deployment_scale(GATEWAY, NAMESPACE, scale, dry_run="All"),
            apps.patch_namespaced_deployment(WORKERS, NAMESPACE, scale, dry_run="All"),
            apps.read_namespaced_deployment(GATEWAY, NAMESPACE),
            core.read_namespaced_secret(SECRET, NAMESPACE),
            core.delete_namespaced_pod(pod.metadata.name, NAMESPACE, dry_run="All"),
            core.list_namespaced_pod("kube-system"),
            leases.delete_namespaced_lease(SCALER, NAMESPACE, dry_run="All"),
            leases.list_namespaced_lease(NAMESPACE),
        ]
        if mode == "keda":
            calls.append(apps.patch_namespaced_deployment_scale(WORKERS, NAMESPACE, scale, dry_run="All"))
        for call in calls:
            with pytest.raises(client.ApiException) as refusal:
                await call
            assert refusal.value.status == 403


async def rules_of(cluster: Cluster, account: str, namespace: str) -> set[tuple[str, str, str, str]]:
    """(API group, resource, name or empty, verb): all that an account may do in a namespace."""
    async with cluster.account(account) as api:
        body: Any = {"spec": {"namespace": namespace}}
        found: Any = await client.AuthorizationV1Api(api).create_self_subject_rules_review(body)
    assert not found.status.incomplete
    return {
        (group, resource, name, verb)
        for rule in found.status.resource_rules
        for group in rule.api_groups or [""]
        for resource in rule.resources or []
        for name in rule.resource_names or [""]
        for verb in rule.verbs
    }


async def test_only_one_thing_scales_the_workers(cluster: Cluster) -> None:
    """No HPA beside a scaler that patches; one HPA, KEDA's, through which the other speaks."""
    autoscaling: Any = client.AutoscalingV2Api(cluster.core.api_client)
    found = (await autoscaling.list_namespaced_horizontal_pod_autoscaler(NAMESPACE)).items
    if await cluster.scaled_by() == "direct":
        assert found == []
        return
    (autoscaler,) = found
    (metric,) = autoscaler.spec.metrics
    assert metric.external.target.type == "AverageValue"
    assert metric.external.target.average_value == "1"
    (trigger,) = (await cluster.scaled_object())["spec"]["triggers"]
    assert trigger["type"] == "external-push"


async def test_network_policies_of_the_scaler_are_there(cluster: Cluster) -> None:
    """KEDA's operator reaches the scaler, where there is one that asks."""
    found = {p.metadata.name: p.spec for p in (await cluster.network.list_namespaced_network_policy(NAMESPACE)).items}
    asked = [rule for rule in found[SCALER].ingress if [port.port for port in rule.ports] == [9000]]
    if await cluster.scaled_by() == "direct":
        assert asked == []
        return
    (rule,) = asked
    (source,) = rule._from
    assert source.namespace_selector.match_labels == {"kubernetes.io/metadata.name": "keda"}
    assert source.pod_selector.match_labels == {"app": "keda-operator"}

    # It would be otherwise if the operator did not reach the scaler.
    conditions = await conditions_of(cluster)
    assert (conditions["Ready"], conditions["Fallback"]) == ("True", "False")


async def test_a_stranger_reaches_the_api_and_nothing_else(cluster: Cluster) -> None:
    """As far as the cluster's network enforces policies: where Valkey is open to everybody, it does not."""
    reached = await reached_by_a_stranger(cluster)
    logger.info("a stranger reaches %s", sorted(reached))
    assert "gateway:8002" in reached
    if "valkey:6379" in reached:
        pytest.skip("this cluster's network does not enforce NetworkPolicies: with minikube, --cni=calico does")
    assert reached == {"gateway:8002"}
