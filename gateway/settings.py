"""Settings of the gateway, from the environment."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from workers.settings import LogLevel, StreamSettings, check_certificate

MIN_API_KEY_CHARS = 16


class GatewaySettings(StreamSettings):
    """One gateway process."""

    host: str = Field("0.0.0.0", description="address the gateway listens on")  # noqa: S104
    port: Annotated[int, Field(ge=1, le=65_535)] = Field(8002, description="port the gateway listens on")
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        0, description="port of /metrics, without API keys; 0 puts it on PORT, where it needs one if there are any"
    )
    max_input_bytes: Annotated[int, Field(ge=1)] = Field(
        1_048_576, description="size of an input above which it is refused"
    )
    body_timeout_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        30.0, description="how long a client may take to send an input"
    )
    head_timeout_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        20.0, description="how long a client may take to send a request's head"
    )
    keep_alive_s: Annotated[float, Field(gt=0, le=86_400)] = Field(
        75.0, description="how long an idle connection is kept; longer than a proxy in front keeps its own"
    )
    write_timeout_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        30.0, description="a client that takes nothing of an answer for this long is cut off"
    )
    max_connections: Annotated[int, Field(ge=1)] = Field(
        4_000, description="connections above which the longest idle is closed; if all are busy, new ones get 503"
    )
    max_buffered_bytes: Annotated[int, Field(ge=1)] = Field(
        67_108_864,
        description="what one gateway process holds for clients that are slow to send or to read; above it, those that "
        "have been slow for longest are cut off; twice MAX_INPUT_BYTES or more",
    )
    max_wait_s: Annotated[float, Field(ge=1, le=3600)] = Field(
        300.0, description="the longest `?wait=` a client may ask for"
    )
    max_waiters: Annotated[int, Field(ge=0)] = Field(
        10_000, description="requests of one gateway process that may wait for a job's end at the same time"
    )
    push_functions: Annotated[str, Field(pattern=r"^[^,/\s]+( *, *[^,/\s]+)*$")] = Field(
        "predict", description="comma-separated functions that clients may push; `predict` is the model"
    )
    api_keys: SecretStr = Field(
        SecretStr(""),
        description=f"comma-separated API keys of {MIN_API_KEY_CHARS} or more characters; empty lets everybody in",
    )
    log_level: LogLevel = "INFO"
    tls_cert_file: Path | None = Field(None, description="certificate chain (PEM) for HTTPS; goes with TLS_KEY_FILE")
    tls_key_file: Path | None = Field(None, description="private key (PEM) for HTTPS; goes with TLS_CERT_FILE")

    @field_validator("api_keys")
    @classmethod
    def _check_keys(cls, value: SecretStr) -> SecretStr:
        for number, key in enumerate(_split(value), start=1):
            if len(key) < MIN_API_KEY_CHARS or not (key.isascii() and key.isprintable()) or " " in key:
                raise ValueError(
                    f"key {number} is not {MIN_API_KEY_CHARS} or more printable ASCII characters without spaces"
                )
        return value

    @model_validator(mode="after")
    def _check_ports(self) -> Self:
        if self.metrics_port == self.port:
            raise ValueError(f"METRICS_PORT must be another port than PORT ({self.port}), or 0")
        return self

    @model_validator(mode="after")
    def _check_buffers(self) -> Self:
        if self.max_buffered_bytes < 2 * self.max_input_bytes:
            raise ValueError(
                f"MAX_BUFFERED_BYTES ({self.max_buffered_bytes}) must be at least twice "
                f"MAX_INPUT_BYTES ({self.max_input_bytes})"
            )
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        check_certificate(self.tls_cert_file, self.tls_key_file)
        if self.tls_cert_file and self.tls_key_file:
            try:
                # Without the password, a key that has one would be asked for on the terminal.
                SSLContext(PROTOCOL_TLS_SERVER).load_cert_chain(self.tls_cert_file, self.tls_key_file, password="")
            except (OSError, ValueError) as error:
                raise ValueError(f"TLS_CERT_FILE and TLS_KEY_FILE are no certificate and its key: {error}") from None
        return self

    def push_function_set(self) -> frozenset[str]:
        """The functions that clients may push."""
        return frozenset(name.strip() for name in self.push_functions.split(","))

    def api_key_list(self) -> list[str]:
        """The API keys, one by one."""
        return _split(self.api_keys)


def _split(keys: SecretStr) -> list[str]:
    return [key.strip() for key in keys.get_secret_value().split(",") if key.strip()]
