"""The service on minikube.

    just deploy [OVERLAY]      from nothing to a working API; again: brings it up to date
    just undeploy [OVERLAY]    takes all of it away, its data too

OVERLAY is a folder of deploy/overlays: `minikube` by default, `e2e` for the end-to-end tests. Another profile
than `minikube` is named by MINIKUBE_PROFILE.
"""

from __future__ import annotations

import argparse
import base64
import json
import secrets
import sys
import time
from pathlib import Path

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

NAMESPACE = "leadtime"
SECRET = "redis"  # noqa: S105
OVERLAYS = Path(__file__).resolve().parents[1] / "overlays"
BASE_IMAGE = f"image: {image.NAME}:dev"
_ROLLOUTS = ("statefulset/valkey", "deployment/gateway", "deployment/workers")
# A worker's rollout takes its image, its model's load and its predecessor's grace.
_ROLLOUT_TIMEOUT = "900s"


def deploy(overlay: str) -> None:
    """Returns when everything is ready. Raises DeployError."""
    began_s = time.monotonic()
    if not succeeds(minikube("status")):
        say("starting minikube")
        shown(minikube("start"), "starting minikube")
    name = image.build()
    keda.install()
    manifests = render(overlay)
    if BASE_IMAGE not in manifests:
        raise DeployError(f"the overlay {overlay} does not use the image {image.NAME}:dev, so it is not for minikube")
    manifests = manifests.replace(BASE_IMAGE, f"image: {name}")
    make_secret(overlay)
    say(f"applying deploy/overlays/{overlay}")
    # Server-side: what others own, such as KEDA the workers' replicas, stays theirs.
    apply = kubectl("apply", "--server-side", "--field-manager=leadtime", "--force-conflicts", "-f", "-")
    shown(apply, "applying the manifests", manifests)
    for workload in _ROLLOUTS:
        say(f"waiting for {workload}")
        wait = in_namespace(NAMESPACE, "rollout", "status", workload, f"--timeout={_ROLLOUT_TIMEOUT}")
        answer(wait, f"waiting for {workload}")
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
        scaled = ("delete", "scaledobject", "--all", "--ignore-not-found", "--timeout=120s")
        answer(in_namespace(NAMESPACE, *scaled), "removing the scaling")
        keep = ""
    else:
        keep = "keda.sh/"
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
