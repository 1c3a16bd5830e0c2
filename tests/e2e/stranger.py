"""A pod that has no part in the service, in another namespace, and what it reaches of it."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from tests.e2e.cluster import until

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster

_ELSEWHERE = "default"
_PROGRAM = """
import json, socket, sys

def reached(address):
    try:
        socket.create_connection(address, timeout=3).close()
    except OSError:
        return False
    return True

for name, host, port in json.loads(sys.argv[1]):
    if reached((host, port)):
        print(name)
"""


async def reached_by_a_stranger(cluster: Cluster) -> set[str]:
    """Ports of the service's pods to which it gets a connection, such as gateway:8002."""
    addresses = []
    for component in ("gateway", "valkey", "scaler"):
        for pod in await cluster.pods(component):
            ports = [port.container_port for container in pod.spec.containers for port in container.ports]
            addresses += [(f"{component}:{port}", pod.status.pod_ip, port) for port in ports]
    (gateway, *_) = await cluster.pods("gateway")
    name = f"stranger-{uuid.uuid4().hex[:8]}"
    container = {
        "name": "stranger",
        "image": gateway.spec.containers[0].image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", _PROGRAM, json.dumps(addresses)],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "containers": [container],
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    await cluster.core.create_namespaced_pod(_ELSEWHERE, {"metadata": {"name": name}, "spec": spec})
    try:

        async def ended() -> bool:
            pod = await cluster.core.read_namespaced_pod(name, _ELSEWHERE)
            assert pod.status.phase != "Failed", "the stranger could not try"
            return bool(pod.status.phase == "Succeeded")

        await until(ended, "the stranger has tried")
        return set((await cluster.core.read_namespaced_pod_log(name, _ELSEWHERE)).split())
    finally:
        await cluster.core.delete_namespaced_pod(name, _ELSEWHERE)
