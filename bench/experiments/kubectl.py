"""kubectl, for the cluster that was the current context's when it was first asked, and the service's address there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.load.client import ServiceClient
from deploy.kubernetes.helm import field_manager

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMESPACE = "leadtime"
# Of the release that `just deploy` makes, with its one model.
GATEWAY_DEPLOYMENT = "leadtime-gateway"
WORKERS_DEPLOYMENT = "leadtime-toy"
SCALER_DEPLOYMENT = "leadtime-scaler"  # and the Lease of whoever leads
_TIMEOUT_S = 180.0
_ANSWER_S = 5.0


class ClusterError(Exception):
    """What could not be done with the cluster, in one sentence."""


def program() -> str:
    """The user's kubectl, or that of the virtual environment."""
    return shutil.which("kubectl") or str(Path(sys.executable).with_name("kubectl"))


class Kubectl:
    """Commands in the service's namespace. All raise ClusterError with what kubectl said."""

    def __init__(self, context: str, namespace: str = NAMESPACE) -> None:
        self.context = context
        self.namespace = namespace

    async def run(self, *arguments: str, standard_input: bytes | None = None, timeout_s: float = _TIMEOUT_S) -> str:
        """What it writes to its standard output."""
        where = ("--context", self.context, "--namespace", self.namespace)
        return await _run(*arguments, where=where, standard_input=standard_input, timeout_s=timeout_s)

    async def json(self, *arguments: str, verb: str = "get", timeout_s: float = _TIMEOUT_S) -> dict[str, Any]:
        """A document: `get` with its arguments, or another command's."""
        found: dict[str, Any] = json.loads(await self.run(verb, *arguments, "--output=json", timeout_s=timeout_s))
        return found

    async def apply(self, manifests: list[dict[str, Any]]) -> None:
        """Server-side, as the manager that Helm is: what a manifest no longer sets is unset."""
        manager = f"--field-manager={field_manager()}"
        apply = ("apply", "--server-side", manager, "--force-conflicts", "--filename=-")
        await self.run(*apply, standard_input=_list(manifests))

    async def delete(self, manifests: list[dict[str, Any]]) -> None:
        """Those of them that are there; returns when they are gone."""
        if manifests:
            delete = ("delete", "--ignore-not-found", "--wait", "--timeout=120s", "--filename=-")
            await self.run(*delete, standard_input=_list(manifests))


def _list(manifests: list[dict[str, Any]]) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}).encode()


async def current(*deployments: str) -> Kubectl:
    """Of the current context. Raises ClusterError if there is none, or no cluster that answers, or no service on it.

    The service has to have the Deployments; by default those of the gateway and of the model `toy`.
    """
    kubectl = Kubectl((await _run("config", "current-context")).strip())
    await kubectl.json(verb="version", timeout_s=20)
    try:
        names = deployments or (GATEWAY_DEPLOYMENT, WORKERS_DEPLOYMENT)
        await kubectl.run("get", "deployment", *names, timeout_s=20)
    except ClusterError as error:
        what = f"the service is not on the cluster {kubectl.context}: `just deploy` brings it"
        raise ClusterError(f"{what} ({error})") from error
    return kubectl


async def _run(
    *arguments: str, where: Sequence[str] = (), standard_input: bytes | None = None, timeout_s: float = _TIMEOUT_S
) -> str:
    what = "kubectl " + " ".join([word for word in arguments if not word.startswith("-")][:2])
    # Out of the terminal's reach: its Ctrl-C is for whoever runs this.
    process = await asyncio.create_subprocess_exec(
        program(), *where, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, errors = await process.communicate(standard_input or b"")
    except TimeoutError:
        raise ClusterError(f"{what} took more than {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ClusterError(f"{what}: {errors.decode(errors='replace').strip() or f'exit code {process.returncode}'}")
    return out.decode()


async def address(kubectl: Kubectl, api_key: str | None = None) -> str:
    """The first URL that answers. Raises ClusterError if none does."""
    service, nodes = await asyncio.gather(kubectl.json("service", GATEWAY_DEPLOYMENT), kubectl.json("nodes"))
    urls = candidates(service, nodes)
    for url in urls:
        async with ServiceClient(url, api_key) as client:
            with contextlib.suppress(TimeoutError):
                if (await asyncio.wait_for(client.get("/healthz"), _ANSWER_S)).status == 200:
                    return url
    raise ClusterError(
        f"the service can't be reached at {', '.join(urls) or 'any address'}: give --url "
        "(with minikube: `minikube tunnel` in another terminal, "
        f"or `minikube service -n {NAMESPACE} {GATEWAY_DEPLOYMENT} --url`)"
    )


def candidates(service: dict[str, Any], nodes: dict[str, Any]) -> list[str]:
    """URLs by a Service and the nodes: its load balancer's, then the node port of each node, then that of this host."""
    (port,) = service["spec"]["ports"]
    balancers = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    at = [(one.get("ip") or one["hostname"], port["port"]) for one in balancers]
    addresses = [one for node in nodes["items"] for one in node["status"].get("addresses", [])]
    if "nodePort" in port:
        at += [(one["address"], port["nodePort"]) for one in addresses if one["type"] in ("ExternalIP", "InternalIP")]
        at += [("127.0.0.1", port["nodePort"])]
    return list(dict.fromkeys(f"http://{f'[{host}]' if ':' in host else host}:{number}" for host, number in at))
