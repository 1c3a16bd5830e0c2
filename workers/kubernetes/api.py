"""How to reach the Kubernetes API. Import it in a pod only: the client takes 70 MB and half a second."""

from __future__ import annotations

from kubernetes_asyncio import client, config


def configuration(api_server: str | None = None) -> client.Configuration:
    """Returns the configuration for that URL; by default for this pod's cluster, with the pod's token.

    Raises ConfigException outside of a cluster.
    """
    found = client.Configuration(host=api_server)
    # Python 3.13 refuses certificate authorities without a key usage extension, as many clusters have. This turns off
    # that strictness only: the chain is still verified.
    found.disable_strict_ssl_verification = True
    if api_server is None:
        config.load_incluster_config(found)  # type: ignore[no-untyped-call]
    return found
