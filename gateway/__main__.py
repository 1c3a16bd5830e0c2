"""`python -m gateway`: one gateway process."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import uvicorn

from gateway.app import create_app
from gateway.settings import GatewaySettings
from workers.settings import load

if TYPE_CHECKING:
    from types import FrameType


def _exit(_signum: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def main() -> None:
    """Reads the settings and serves until SIGTERM or SIGINT."""
    settings = load(GatewaySettings)
    # uvicorn raises the signal that stopped it again, behind a clean stop.
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level.lower(),
        ssl_certfile=settings.tls_cert_file,
        ssl_keyfile=settings.tls_key_file and str(settings.tls_key_file),
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
