"""KEDA: installed where it is missing, and removed again only if it was installed here and nobody else uses it."""

from __future__ import annotations

from deploy.kubernetes.tools import answer, kubectl, say, shown, succeeds

VERSION = "2.21.0"
MANIFEST = f"https://github.com/kedacore/keda/releases/download/v{VERSION}/keda-{VERSION}.yaml"
NAMESPACE = "keda"
_MARK = "leadtime/installed-keda"


def install() -> None:
    """Applies KEDA's published manifest if its resource types are unknown; waits until it works. Raises DeployError."""
    if not succeeds(kubectl("get", "crd", "scaledobjects.keda.sh")):
        say(f"installing KEDA {VERSION}")
        shown(kubectl("apply", "--server-side", "-f", MANIFEST), "installing KEDA")
        answer(kubectl("annotate", "--overwrite", "namespace", NAMESPACE, f"{_MARK}={VERSION}"), "marking KEDA")
    if not succeeds(kubectl("get", "namespace", NAMESPACE)):
        say(f"KEDA is not in the namespace {NAMESPACE}, the only one that the network policies let in")
        return
    say("waiting for KEDA")
    for name in ("keda-operator", "keda-metrics-apiserver", "keda-admission"):
        wait = ("rollout", "status", "deployment", name, "--timeout=300s")
        answer(kubectl("--namespace", NAMESPACE, *wait), f"waiting for {name}")
    available = ("wait", "--for=condition=Available", "apiservice/v1beta1.external.metrics.k8s.io", "--timeout=120s")
    answer(kubectl(*available), "waiting for KEDA's metrics")


def remove() -> None:
    """Takes away what `install` brought, unless other things in the cluster are scaled by it."""
    mark = ("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", f"jsonpath={{.metadata.annotations.{_MARK}}}")
    if not answer(kubectl(*mark), "looking for KEDA").strip():
        return
    used = ("get", "scaledobjects,scaledjobs", "--all-namespaces", "--ignore-not-found", "-o", "name")
    if answer(kubectl(*used), "looking for what KEDA scales").strip():
        say("KEDA stays: it scales other things in this cluster")
        return
    say("removing KEDA")
    shown(kubectl("delete", "--ignore-not-found", "-f", MANIFEST), "removing KEDA")
