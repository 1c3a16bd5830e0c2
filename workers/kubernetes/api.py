"""How the Kubernetes API is reached. Imported only in a pod: the client takes 70 MB and half a second."""

from __future__ import annotations

from kubernetes_asyncio import client, config


def configuration(api_server: str | None = None) -> client.Configuration:
    """For that URL, or for the cluster this runs in, with the pod's token. Raises ConfigException outside of one."""
    found = client.Configuration(host=api_server)
    # Python 3.13 refuses the CA of many a cluster for want of a key usage extension. The chain is verified still.
    found.disable_strict_ssl_verification = True
    if api_server is None:
        config.load_incluster_config(found)  # type: ignore[no-untyped-call]
    return found
