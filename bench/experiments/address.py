"""Where the service of a cluster is reached from here: at its Service's own address, never through kubectl."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bench.experiments.kubectl import ClusterError
from bench.load.client import ServiceClient

if TYPE_CHECKING:
    from bench.experiments.kubectl import Kubectl

_TIMEOUT_S = 5.0
_SERVICE = "gateway"


async def address(kubectl: Kubectl, api_key: str | None = None) -> str:
    """The first URL that answers. Raises ClusterError if none does."""
    service, nodes = await asyncio.gather(kubectl.json("service", _SERVICE), kubectl.json("nodes"))
    urls = candidates(service, nodes)
    for url in urls:
        async with ServiceClient(url, api_key) as client:
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    if (await client.get("/healthz")).status == 200:
                        return url
            except TimeoutError:
                continue
    raise ClusterError(
        f"the service can't be reached at {', '.join(urls) or 'any address'}: give --url "
        "(with minikube: `minikube tunnel` in another terminal, or `minikube service -n leadtime gateway --url`)"
    )


def candidates(service: dict[str, Any], nodes: dict[str, Any]) -> list[str]:
    """URLs by a Service and the nodes: its load balancer's, then the node port of each node, then that of this host."""
    (port,) = service["spec"]["ports"]
    balancers = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    urls = [_url(one.get("ip") or one["hostname"], port["port"]) for one in balancers]
    if "nodePort" in port:
        hosts = [
            one["address"]
            for kind in ("ExternalIP", "InternalIP")
            for node in nodes["items"]
            for one in node["status"].get("addresses", [])
            if one["type"] == kind
        ]
        urls += [_url(host, port["nodePort"]) for host in [*hosts, "127.0.0.1"]]
    return list(dict.fromkeys(urls))


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
