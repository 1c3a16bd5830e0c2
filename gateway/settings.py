"""Settings of the gateway, from the environment."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003
from typing import Annotated, Self

from pydantic import Field, model_validator

from workers.stream import StreamSettings


class GatewaySettings(StreamSettings):
    """One gateway process."""

    host: str = Field("0.0.0.0", description="address the gateway listens on")  # noqa: S104
    port: Annotated[int, Field(ge=1, le=65_535)] = Field(8002, description="port the gateway listens on")
    max_input_bytes: Annotated[int, Field(ge=1)] = Field(
        1_048_576, description="size of an input above which it is refused"
    )
    log_level: str = Field(
        "INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$", description="least severe log line that is written"
    )
    tls_cert_file: Path | None = Field(None, description="certificate chain (PEM) for HTTPS; goes with TLS_KEY_FILE")
    tls_key_file: Path | None = Field(None, description="private key (PEM) for HTTPS; goes with TLS_CERT_FILE")

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        files = (self.tls_cert_file, self.tls_key_file)
        if (files[0] is None) != (files[1] is None):
            raise ValueError("TLS_CERT_FILE and TLS_KEY_FILE go together")
        for file in files:
            if file is not None and not file.is_file():
                raise ValueError(f"{file} is not a file")
        return self
