"""The service on minikube.

    just deploy [VALUES]      from nothing to a working API; again: brings it up to date
    just undeploy [VALUES]    takes all of it away, its data too

VALUES is a file of one's own, or one of deploy/values: `minikube` by default, `scaler` and `direct` for the
start-up-aware scaler with KEDA or without it, `models` for two models with one budget, `e2e` for the end-to-end tests.
Other values than before take their place. Another profile than `minikube` is named by MINIKUBE_PROFILE.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

from deploy.kubernetes import chart, devices, helm, image, keda, rollout
from deploy.kubernetes.chart import CHART, NAMESPACE, RELEASE
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

    from deploy.kubernetes.chart import Manifest

KEDA_API = "keda.sh/"
# kubectl waits until KEDA has let go of them.
_OURS = f"--selector=app.kubernetes.io/instance={RELEASE}"
_DELETE_SCALED = ("delete", "scaledobject", _OURS, "--ignore-not-found", "--timeout=120s")


def deploy(name: str) -> None:
    """Returns when everything is ready. Raises DeployError."""
    began_s = time.monotonic()
    values = chart.values_of(name)
    if values.get("image"):
        raise DeployError(f"the values {name} name an image of a registry, so it is not for minikube")
    manifests = chart.render(values)
    scaled = [one["metadata"]["name"] for one in manifests if one["kind"] == "ScaledObject"]
    if not succeeds(minikube("status")):
        say("starting minikube")
        shown(minikube("start"), "starting minikube")
    repository, tag = image.build().split(":")
    refuse_kustomize()
    if scaled:
        keda.install()
    make_namespace(name)
    say(f"installing the chart with the values {name}")
    install(values | {"image": {"repository": repository, "tag": tag}})
    in_vain = devices.say_what_is_missing(manifests)
    for workload in workloads(manifests):
        if workload in in_vain:
            say(f"not waiting for {workload}")
            continue
        say(f"waiting for {workload}")
        rollout.wait(NAMESPACE, workload)
    for one in scaled:
        ready = ("wait", "--for=condition=Ready", f"scaledobject/{one}", "--timeout=120s")
        answer(in_namespace(NAMESPACE, *ready), "waiting for KEDA to scale the workers")
    say(f"ready after {time.monotonic() - began_s:.0f} s")
    print(_how_to_reach(workers_of(manifests)))


def workloads(manifests: Sequence[Manifest]) -> list[str]:
    """What there is to wait for, such as deployment/leadtime-gateway; those that others need come first."""
    kinds = ("StatefulSet", "Deployment")
    found = [one for one in manifests if one["kind"] in kinds]
    found.sort(key=lambda one: (kinds.index(one["kind"]), one["metadata"]["name"]))
    return [f"{one['kind'].lower()}/{one['metadata']['name']}" for one in found]


def workers_of(manifests: Sequence[Manifest]) -> list[str]:
    """The models' Deployments."""
    return [
        one["metadata"]["name"]
        for one in manifests
        if one["kind"] == "Deployment" and one["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"
    ]


def install(values: chart.Values) -> None:
    """Installs the chart, or brings it up to date. Raises DeployError."""
    try:
        helm.upgrade(CHART, RELEASE, NAMESPACE, values)
    except helm.ConflictError:
        take_back(chart.render(values))
        helm.upgrade(CHART, RELEASE, NAMESPACE, values)


def take_back(manifests: Sequence[Manifest]) -> None:
    """Sets what others have set since, as Helm would if it were told to force conflicts. Raises DeployError."""
    say("others have changed what the chart sets: it is set back")
    manager = f"--field-manager={helm.field_manager()}"
    apply = kubectl("apply", "--server-side", manager, "--force-conflicts", "-f", "-")
    # The Secret is Helm's alone: rendered here, it would have another password.
    items = [one for one in manifests if one["kind"] != "Secret"]
    answer(apply, "setting it back", json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def refuse_kustomize() -> None:
    """Raises DeployError if the namespace has the service of 0.1.0: two of it would read one queue each."""
    selector = "--selector=app.kubernetes.io/name=leadtime,app.kubernetes.io/managed-by=kustomize"
    get = in_namespace(NAMESPACE, "get", "deployments,statefulsets", selector, "--ignore-not-found", "-o", "name")
    if answer(get, "looking for an older deployment").strip():
        raise DeployError(
            f"the namespace {NAMESPACE} has the service as kustomize has deployed it: docs/kubernetes.md, "
            "`From kustomize to the chart`, says how the chart takes it over"
        )


def make_namespace(name: str) -> None:
    """Makes the namespace with restricted Pod Security, or brings it up to date. Raises DeployError."""
    manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": {
                "pod-security.kubernetes.io/enforce": "restricted",
                "pod-security.kubernetes.io/enforce-version": "latest",
            },
            "annotations": {"leadtime/values": name},
        },
    }
    apply = kubectl("apply", "--server-side", "--field-manager=leadtime", "--force-conflicts", "-f", "-")
    answer(apply, "making the namespace", json.dumps(manifest))


def _how_to_reach(workers: Sequence[str]) -> str:
    get = in_namespace(NAMESPACE, "get", "service", f"{RELEASE}-gateway", "-o", "json")
    service = json.loads(answer(get, "asking the service"))
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
    reached = f"{how}\n\n    {first}\n\nIts first answer takes a start of {workers[0]}: watch it with\n\n    {watch}"
    others = "".join(f"\n    POST {url}/queues/{name.removeprefix(f'{RELEASE}-')}/push" for name in workers)
    return f"{reached}\n\nEach model has a queue:\n{others}" if len(workers) > 1 else reached


def undeploy(_name: str) -> None:
    """Returns when nothing is left. Raises DeployError."""
    if not succeeds(minikube("status")):
        raise DeployError("minikube is not running, so there is nothing to take away")
    say("removing the service and its data")
    if succeeds(kubectl("get", "crd", "scaledobjects.keda.sh")):
        # Before its namespace and KEDA: KEDA has to let go of it.
        answer(in_namespace(NAMESPACE, *_DELETE_SCALED), "removing the scaling")
    helm.uninstall(RELEASE, NAMESPACE)
    if others():
        say(f"the namespace {NAMESPACE} stays: other things run in it")
        claims = ("delete", "persistentvolumeclaim", _OURS, "--ignore-not-found", "--timeout=300s")
        shown(in_namespace(NAMESPACE, *claims), "removing the data")
    else:
        delete = kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait", "--timeout=300s")
        shown(delete, "removing the namespace with its data")
    images = image.remove()
    keda.remove()
    say(f"all is gone but {len(images)} images in minikube" if images else "nothing is left")


def others() -> bool:
    """Whether workloads of others, such as a second release, are in the namespace. Raises DeployError."""
    get = ("get", "deployments,statefulsets,daemonsets,jobs", f"--selector=app.kubernetes.io/instance!={RELEASE}")
    return bool(answer(in_namespace(NAMESPACE, *get, "-o", "name"), "looking for what else is there").strip())


def main() -> None:
    """Ends the process with 0, or 1 and one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="just", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("command", choices=["deploy", "undeploy"])
    parser.add_argument("values", nargs="?", default="minikube")
    arguments = parser.parse_args()
    try:
        check_tools()
        helm.check()
        (deploy if arguments.command == "deploy" else undeploy)(arguments.values)
    except DeployError as error:
        say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
