"""kubectl, for the cluster that was the current context's when it was first asked."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from bench.load.client import ServiceClient

NAMESPACE = "leadtime"
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
        return await _run([*where, *arguments], standard_input, timeout_s)

    async def json(self, *arguments: str) -> dict[str, Any]:
        """A document: `get` with its arguments."""
        found: dict[str, Any] = json.loads(await self.run("get", *arguments, "--output=json"))
        return found

    async def version(self) -> str:
        """Of the cluster's API server, which has to answer soon."""
        found = json.loads(await self.run("version", "--output=json", timeout_s=20))
        return str(found["serverVersion"]["gitVersion"])

    async def apply(self, manifests: list[dict[str, Any]]) -> None:
        """Server-side, as the manager that `just deploy` is: what a manifest no longer sets is unset."""
        apply = ("apply", "--server-side", "--field-manager=leadtime", "--force-conflicts", "--filename=-")
        await self.run(*apply, standard_input=_list(manifests))

    async def delete(self, manifests: list[dict[str, Any]]) -> None:
        """Those of them that are there; returns when they are gone."""
        if manifests:
            delete = ("delete", "--ignore-not-found", "--wait", "--timeout=120s", "--filename=-")
            await self.run(*delete, standard_input=_list(manifests))


def _list(manifests: list[dict[str, Any]]) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}).encode()


async def current() -> Kubectl:
    """Of the current context. Raises ClusterError if there is none, or no cluster that answers, or no service on it."""
    context = (await _run(["config", "current-context"], None, _TIMEOUT_S)).strip()
    kubectl = Kubectl(context)
    await kubectl.version()
    try:
        await kubectl.run("get", "deployment", "gateway", "workers", timeout_s=20)
    except ClusterError as error:
        raise ClusterError(f"the service is not on the cluster {context}: `just deploy` brings it ({error})") from error
    return kubectl


async def _run(arguments: list[str], standard_input: bytes | None, timeout_s: float) -> str:
    # Out of the terminal's reach: its Ctrl-C is for whoever runs this.
    process = await asyncio.create_subprocess_exec(
        program(),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL if standard_input is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, errors = await process.communicate(standard_input)
    except TimeoutError:
        raise ClusterError(f"kubectl {_verb(arguments)} took more than {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = errors.decode(errors="replace").strip() or f"exit code {process.returncode}"
        raise ClusterError(f"kubectl {_verb(arguments)}: {said}")
    return out.decode()


def _verb(arguments: list[str]) -> str:
    rest = [part for part in arguments if not part.startswith("-")]
    # The context's name and the namespace's come first.
    return " ".join(rest[2:4] if arguments[0] == "--context" else rest[:2])


async def address(kubectl: Kubectl, api_key: str | None = None) -> str:
    """The first URL that answers. Raises ClusterError if none does."""
    service, nodes = await asyncio.gather(kubectl.json("service", "gateway"), kubectl.json("nodes"))
    urls = candidates(service, nodes)
    for url in urls:
        async with ServiceClient(url, api_key) as client:
            try:
                async with asyncio.timeout(_ANSWER_S):
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
