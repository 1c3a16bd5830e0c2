"""Checks what manifests say in several places, because kustomize can't copy it: the queue's name, and the namespace.

    kubectl kustomize OVERLAY | python -m deploy.kubernetes.consistency

Exit codes: 0 all agrees, 1 something does not (one sentence on stderr).
"""

from __future__ import annotations

import sys
from typing import Any

import yaml

from deploy.kubernetes.tools import DeployError

_SERVICE_SUFFIX = ".svc"


def check(manifests: str) -> None:
    """Raises DeployError, with one sentence, if KEDA would look at another queue, or in another namespace, than theirs.

    KEDA says nothing of a stream that is not there: it counts no jobs, and no worker ever starts.
    """
    documents = list(yaml.safe_load_all(manifests))
    queue = next((name for one in documents if (name := (one.get("data") or {}).get("QUEUE_NAME"))), None)
    for scaled in (one for one in documents if one["kind"] == "ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            _check_trigger(trigger["metadata"], queue, scaled["metadata"].get("namespace", "default"))


def _check_trigger(trigger: dict[str, Any], queue: str | None, namespace: str) -> None:
    stream = trigger.get("stream")
    if stream is not None and queue is not None and stream != f"{{{queue}}}:stream":
        raise DeployError(
            f"QUEUE_NAME is {queue}, but KEDA would read the stream {stream}: set `stream` of both triggers of the "
            f"ScaledObject to {{{queue}}}:stream"
        )
    for field in ("address", "scalerAddress"):
        host = str(trigger.get(field, "")).partition(":")[0]
        if host.endswith(_SERVICE_SUFFIX) and host.split(".")[1] != namespace:
            raise DeployError(
                f"the namespace is {namespace}, but KEDA would ask {host}: set `{field}` of the ScaledObject's "
                f"triggers to a service of the namespace {namespace}"
            )


def main() -> None:
    """Checks the manifests on stdin, and ends the process."""
    try:
        check(sys.stdin.read())
    except DeployError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
