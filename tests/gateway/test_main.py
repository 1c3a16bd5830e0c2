"""The gateway's HTTP server."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import aiohttp
import trustme

from tests.gateway.service import GatewayProcess

if TYPE_CHECKING:
    from pathlib import Path

    from workers.stream import StreamSettings


async def test_tls(settings: StreamSettings, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    files: dict[str, str] = {"TLS_CERT_FILE": str(tmp_path / "cert.pem"), "TLS_KEY_FILE": str(tmp_path / "key.pem")}
    async with GatewayProcess(settings, **files) as gateway, aiohttp.ClientSession(gateway.base) as http:
        async with http.post("/push?input=x", ssl=context) as response:
            assert response.status == 202
            job_id = (await response.json())["id"]
        async with http.get(f"/status/{job_id}", ssl=context) as response:
            assert (await response.json())["status"] == "queued"
