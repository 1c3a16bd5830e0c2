"""The service on minikube.

    just deploy [OVERLAY]      from nothing to a working API; again: brings it up to date
    just undeploy [OVERLAY]    takes all of it away, its data too

OVERLAY is a folder of deploy/overlays: `minikube` by default, `scaler` and `direct` for the start-up-aware scaler
with KEDA or without it, `e2e` for the end-to-end tests. Another overlay than before takes its place.
Another profile than `minikube` is named by MINIKUBE_PROFILE.
"""

from __future__ import annotations

import argparse
import base64
import json
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from deploy.kubernetes import image, keda
from deploy.kubernetes.tools import (
    DeployError,
    answer,
    check_tools,
    in_namespace,
    kubectl,
    minikube,
    say,
    shown,
    succeeds,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMESPACE = "leadtime"
SECRET = "redis"  # noqa: S105
OVERLAYS = Path(__file__).resolve().parents[1] / "overlays"
KEDA_API = "keda.sh/"
BASE_IMAGE = f"image: {image.NAME}:dev"
# A worker's rollout takes its image, its model's load and its predecessor's grace.
_ROLLOUT_TIMEOUT = "900s"
# kubectl waits until KEDA has let go of them.
_DELETE_SCALED = ("delete", "scaledobject", "--all", "--ignore-not-found", "--timeout=120s")


def deploy(overlay: str) -> None:
    """Returns when everything is ready. Raises DeployError."""
    began_s = time.monotonic()
    if not succeeds(minikube("status")):
        say("starting minikube")
        shown(minikube("start"), "starting minikube")
    manifests = render(overlay)
    if BASE_IMAGE not in manifests:
        raise DeployError(f"the overlay {overlay} does not use the image {image.NAME}:dev, so it is not for minikube")
    scaled_by_keda = KEDA_API in manifests
    name = image.build()
    if scaled_by_keda:
        keda.install()
    rollouts = workloads(manifests)
    manifests = manifests.replace(BASE_IMAGE, f"image: {name}")
    make_secret(overlay)
    remove_others(overlay)
    if scaled_by_keda:
        remove_other_triggers(manifests)
    say(f"applying deploy/overlays/{overlay}")
    # Server-side: what others own, such as KEDA the workers' replicas, stays theirs.
    apply = kubectl("apply", "--server-side", "--field-manager=leadtime", "--force-conflicts", "-f", "-")
    shown(apply, "applying the manifests", manifests)
    for workload in rollouts:
        say(f"waiting for {workload}")
        wait = in_namespace(NAMESPACE, "rollout", "status", workload, f"--timeout={_ROLLOUT_TIMEOUT}")
        answer(wait, f"waiting for {workload}")
    if scaled_by_keda:
        ready = ("wait", "--for=condition=Ready", "scaledobject/workers", "--timeout=120s")
        answer(in_namespace(NAMESPACE, *ready), "waiting for KEDA to scale the workers")
    say(f"ready after {time.monotonic() - began_s:.0f} s")
    print(_how_to_reach())


def render(overlay: str) -> str:
    """The overlay's manifests. Raises DeployError."""
    folder = OVERLAYS / overlay
    if not (folder / "kustomization.yaml").is_file():
        known = ", ".join(sorted(path.name for path in OVERLAYS.iterdir() if path.is_dir()))
        raise DeployError(f"there is no overlay {overlay!r}; there are {known}")
    return answer(kubectl("kustomize", str(folder)), f"rendering deploy/overlays/{overlay}")


def workloads(manifests: str) -> list[str]:
    """What there is to wait for, such as deployment/gateway; those that others need come first."""
    kinds = ("StatefulSet", "Deployment")
    found = [d for d in yaml.safe_load_all(manifests) if d["kind"] in kinds]
    found.sort(key=lambda document: (kinds.index(document["kind"]), document["metadata"]["name"]))
    return [f"{document['kind'].lower()}/{document['metadata']['name']}" for document in found]


def left_by_others(overlay: str) -> str:
    """Manifests of what other overlays for minikube have, and this one hasn't: two scalers would undo each other."""

    def key(document: dict[str, Any]) -> tuple[str, str]:
        return document["kind"], document["metadata"]["name"]

    own = {key(document) for document in yaml.safe_load_all(render(overlay))}
    left: dict[tuple[str, str], dict[str, Any]] = {}
    for other in sorted(path.name for path in OVERLAYS.iterdir() if path.is_dir()):
        manifests = render(other)
        if BASE_IMAGE in manifests:
            left |= {key(d): d for d in yaml.safe_load_all(manifests) if key(d) not in own and d["kind"] != "ConfigMap"}
    return str(yaml.safe_dump_all(left.values()))


def remove_others(overlay: str) -> None:
    """Removes what another overlay has left. Raises DeployError."""
    left = left_by_others(overlay)
    if KEDA_API in left and not succeeds(kubectl("get", "crd", "scaledobjects.keda.sh")):
        left = str(yaml.safe_dump_all(d for d in yaml.safe_load_all(left) if KEDA_API not in d["apiVersion"]))
    if left:
        delete = kubectl("delete", "--ignore-not-found", "--wait", "--timeout=120s", "-f", "-")
        shown(delete, "removing what another overlay has left", left)


def remove_other_triggers(manifests: str) -> None:
    """Removes a ScaledObject whose triggers are of other types than the manifests'; the workers stay.

    KEDA writes an empty scalingModifiers into one that is made without. When another overlay's have been in it, to take
    these out again would leave a null there, and the API server refuses that. Raises DeployError.
    """
    get = in_namespace(NAMESPACE, "get", "scaledobject", "-o", "json")
    live = json.loads(answer(get, "asking for the ScaledObject"))["items"]
    own = [document for document in yaml.safe_load_all(manifests) if document["kind"] == "ScaledObject"]
    if triggers(live) - triggers(own):
        shown(in_namespace(NAMESPACE, *_DELETE_SCALED), "removing what scales the workers otherwise")


def triggers(scaled: Sequence[dict[str, Any]]) -> set[str]:
    """The triggers' types of ScaledObjects."""
    return {trigger["type"] for one in scaled for trigger in one["spec"]["triggers"]}


def make_secret(overlay: str) -> None:
    """Makes the namespace, and in it a Secret with a new password, where there is none. Raises DeployError."""
    shown(
        kubectl("apply", "--server-side", "--field-manager=leadtime", "-f", str(OVERLAYS / overlay / "namespace.yaml")),
        "making the namespace",
    )
    if succeeds(in_namespace(NAMESPACE, "get", "secret", SECRET)):
        return
    say("making a password for Valkey")
    password = secrets.token_urlsafe(32)
    data = {
        "password": password,
        "url": f"redis://:{password}@valkey.{NAMESPACE}.svc:6379/0",
        "auth.conf": f"requirepass {password}\n",
    }
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": SECRET,
            "labels": {"app.kubernetes.io/name": "leadtime", "app.kubernetes.io/part-of": "leadtime"},
        },
        "immutable": True,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
    # Over stdin: arguments can be seen by others on this machine.
    answer(in_namespace(NAMESPACE, "create", "-f", "-"), "making the Secret", json.dumps(manifest))


def _how_to_reach() -> str:
    service = json.loads(
        answer(in_namespace(NAMESPACE, "get", "service", "gateway", "-o", "json"), "asking the service")
    )
    (port,) = service["spec"]["ports"]
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    if ingress:
        url = f"http://{ingress[0].get('ip') or ingress[0]['hostname']}:{port['port']}"
        how = f"The API is at {url}"
    else:
        node = answer(minikube("ip"), "asking minikube's address").strip()
        url = f"http://{node}:{port['nodePort']}"
        how = (
            f"The API is at {url}; on port {port['port']} while `minikube tunnel` runs in another terminal\n"
            f"(where minikube is in a virtual machine of Docker Desktop's, only so: http://127.0.0.1:{port['port']})."
        )
    first = f"curl -X POST '{url}/push?input=hello'"
    watch = f"kubectl -n {NAMESPACE} get pods --watch"
    return f"{how}\n\n    {first}\n\nIts first answer takes a worker's start: watch it with\n\n    {watch}"


def undeploy(overlay: str) -> None:
    """Returns when nothing is left. Raises DeployError."""
    if not succeeds(minikube("status")):
        raise DeployError("minikube is not running, so there is nothing to take away")
    say("removing the service and its data")
    if succeeds(kubectl("get", "crd", "scaledobjects.keda.sh")):
        # Before its namespace and KEDA: KEDA has to let go of it.
        answer(in_namespace(NAMESPACE, *_DELETE_SCALED), "removing the scaling")
        keep = ""
    else:
        keep = KEDA_API
    documents = [part for part in render(overlay).split("\n---\n") if not keep or f"apiVersion: {keep}" not in part]
    delete = kubectl("delete", "--ignore-not-found", "--wait", "--timeout=300s", "-f", "-")
    shown(delete, "removing the service", "\n---\n".join(documents))
    images = image.remove()
    keda.remove()
    say(f"all is gone but {len(images)} images in minikube" if images else "nothing is left")


def main() -> None:
    """Ends the process with 0, or 1 and one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="just", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("command", choices=["deploy", "undeploy"])
    parser.add_argument("overlay", nargs="?", default="minikube")
    arguments = parser.parse_args()
    try:
        check_tools()
        (deploy if arguments.command == "deploy" else undeploy)(arguments.overlay)
    except DeployError as error:
        say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
