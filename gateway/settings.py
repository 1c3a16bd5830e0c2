"""Settings of the gateway, from the environment."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.keys.file import read_keys
from gateway.marks import mark_of
from workers.outbound.addresses import AddressRules
from workers.settings import LogFormat, LogLevel, ObjectSettings, StreamSettings, check_certificate
from workers.webhooks.signature import MIN_SECRET_CHARS

MIN_API_KEY_CHARS = 16
# Unreserved characters alone (RFC 3986): they are the same percent-encoded or not, whatever a proxy does to them.
_ROOT_PATH = re.compile(r"(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)*")
# With these as a prefix, `/status/ID` would be two different requests.
_PATHS_OF_THE_API = {
    "/push", "/status", "/data", "/events", "/files", "/uploads", "/cancel", "/retry", "/webhooks", "/batches", "/jobs",
    "/ui", "/overview", "/history", "/dead-letters", "/inputs",
}  # fmt: skip
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class GatewaySettings(ObjectSettings, StreamSettings):
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
        3_000,
        description="requests of one gateway process that may wait for a job's end at the same time; each has a "
        "connection, so fewer than MAX_CONNECTIONS",
    )
    presign_s: Annotated[float, Field(ge=0, le=604_800)] = Field(
        900.0,
        description="how long a URL of the object store is valid, to which `/files` redirects and uploads are sent; "
        "with 0, as with a folder, the gateway sends and takes the bytes itself",
    )
    uploads_per_hour: Annotated[int, Field(ge=1)] = Field(
        10_000, description="files that one API key may upload in an hour; as many may come at once (docs/api.md)"
    )
    upload_bytes_per_hour: Annotated[int, Field(ge=1)] = Field(
        107_374_182_400,
        description="bytes of such files that one API key may send to the gateway in an hour; as many may come at "
        "once; MAX_OBJECT_BYTES or more",
    )
    max_job_attempts: Annotated[int, Field(ge=1, le=1000)] = Field(
        100, description="the most attempts that a push may ask for by `?max_attempts=`"
    )
    max_keep_s: Annotated[float, Field(ge=1, le=31_536_000)] = Field(
        604_800.0, description="the longest that a push may have its result kept by `?keep=`"
    )
    max_ttl_s: Annotated[float, Field(ge=1, le=31_536_000)] = Field(
        604_800.0, description="the longest `?ttl=`: the time within which a job must be started"
    )
    max_delay_s: Annotated[float, Field(ge=0, le=31_536_000)] = Field(
        2_592_000.0, description="how far ahead a push may put its job off by `?delay=` or `?at=`"
    )
    max_tag_chars: Annotated[int, Field(ge=1, le=1000)] = Field(100, description="length of a job's `?tag=`")
    max_batch_jobs: Annotated[int, Field(ge=1, le=100_000)] = Field(
        10_000, description="inputs that one `POST /batches` may have"
    )
    max_batch_bytes: Annotated[int, Field(ge=1)] = Field(
        16_777_216, description="size of such a request's body above which it is refused"
    )
    queues: str = Field(
        "",
        pattern=r"^([A-Za-z0-9_.:-]{1,100}( *, *[A-Za-z0-9_.:-]{1,100})*)?$",
        description="comma-separated queues behind this gateway, each the QUEUE_NAME of its workers; pushes go to the "
        "first unless they name another; empty is QUEUE_NAME alone",
    )
    push_functions: Annotated[str, Field(pattern=r"^[^,/\s]+( *, *[^,/\s]+)*$")] = Field(
        "predict", description="comma-separated functions that clients may push; `predict` is the model"
    )
    api_keys: SecretStr = Field(
        SecretStr(""),
        description=f"comma-separated API keys of {MIN_API_KEY_CHARS} or more characters; empty lets everybody in",
    )
    api_keys_file: Path | None = Field(
        None, description="YAML file of API keys with names and limits (docs/api.md); read again when it changes"
    )
    backlog_share: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description="the part of MAX_BACKLOG that the jobs of one API key's name may fill, unless API_KEYS_FILE says "
        "otherwise; 1 is all of it",
    )
    webhook_secrets: SecretStr = Field(
        SecretStr(""),
        description=f"comma-separated secrets of {MIN_SECRET_CHARS} or more characters, of which those that sign "
        "webhooks are made; the first is the one to use, a second is valid beside it; empty turns webhooks off",
    )
    webhook_allow: str = Field(
        "",
        description="comma-separated hosts, addresses and networks that webhooks may go to although they are not "
        "public, and also by http; empty is none",
    )
    webhook_timeout_s: Annotated[float, Field(gt=0, le=120)] = Field(
        15.0, description="how long the receiver of a webhook may take to answer"
    )
    webhook_give_up_s: Annotated[float, Field(ge=0, le=604_800)] = Field(
        86_400.0, description="how long a webhook is tried again before it counts as failed"
    )
    ui: bool = Field(True, description="whether `/` and `/ui` show the page; `off` also keeps no history for it")
    root_path: str = Field(
        "",
        description="path under which a proxy publishes the API, such as `/leadtime`; it may strip it or keep it",
    )
    cors_origins: str = Field(
        "",
        description="comma-separated origins whose scripts a browser lets use the API, such as `https://app.example`; "
        "`*` is all of them, empty is none",
    )
    log_level: LogLevel = "INFO"
    log_format: LogFormat = "text"
    access_log: bool = Field(False, description="whether each answer has a line in the log, with its job's id")
    tls_cert_file: Path | None = Field(None, description="certificate chain (PEM) for HTTPS; goes with TLS_KEY_FILE")
    tls_key_file: Path | None = Field(None, description="private key (PEM) for HTTPS; goes with TLS_CERT_FILE")

    @field_validator("api_keys")
    @classmethod
    def _check_keys(cls, value: SecretStr) -> SecretStr:
        for number, key in enumerate(_members(value), start=1):
            if len(key) < MIN_API_KEY_CHARS or not (key.isascii() and key.isprintable()) or " " in key:
                raise ValueError(
                    f"key {number} is not {MIN_API_KEY_CHARS} or more printable ASCII characters without spaces"
                )
        return value

    @field_validator("api_keys_file")
    @classmethod
    def _check_keys_file(cls, value: Path | None) -> Path | None:
        if value is not None:
            read_keys(value)
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _check_webhook_secrets(cls, value: SecretStr) -> SecretStr:
        for number, secret in enumerate(_members(value), start=1):
            if len(secret) < MIN_SECRET_CHARS:
                raise ValueError(f"secret {number} has fewer than {MIN_SECRET_CHARS} characters")
        return value

    @field_validator("webhook_allow")
    @classmethod
    def _check_webhook_allow(cls, value: str) -> str:
        AddressRules.parse(value)
        return value

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, value: str) -> str:
        if not _ROOT_PATH.fullmatch(value):
            raise ValueError(
                "must begin with / and not end with one, of letters, digits and .-_~, without . and .. as parts; "
                "the top is an empty ROOT_PATH"
            )
        if value in _PATHS_OF_THE_API:
            raise ValueError("must not be a path of the API itself")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: str) -> str:
        origins = _split(value)
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin.lower()):
                raise ValueError(f"{origin!r} is no origin: scheme://host or scheme://host:port, without a path")
        if "*" in origins and len(origins) > 1:
            raise ValueError("* is all origins, and stands alone")
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
    def _check_uploads(self) -> Self:
        if self.upload_bytes_per_hour < self.max_object_bytes:
            raise ValueError(
                f"UPLOAD_BYTES_PER_HOUR ({self.upload_bytes_per_hour}) must be at least "
                f"MAX_OBJECT_BYTES ({self.max_object_bytes})"
            )
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        check_certificate(self.tls_cert_file, self.tls_key_file)
        return self

    @model_validator(mode="after")
    def _check_secrets_of_names(self) -> Self:
        if self.webhook_secret_list() or not self.api_keys_file:
            return self
        if any(caller.webhook_secrets for caller in read_keys(self.api_keys_file).values()):
            raise ValueError("API_KEYS_FILE has webhook_secrets, but WEBHOOK_SECRETS turns webhooks on, and is empty")
        return self

    @field_validator("queues")
    @classmethod
    def _check_queues(cls, value: str) -> str:
        names = _split(value)
        if len(set(names)) < len(names) or len({mark_of(name) for name in names}) < len(names):
            raise ValueError("each queue is there once")
        return value

    def queue_list(self) -> list[str]:
        """The queues, the one of pushes that name none first."""
        return _split(self.queues) or [self.queue_name]

    @property
    def has_keys(self) -> bool:
        """Whether a client needs a key."""
        return bool(self.api_keys_file or self.api_key_list())

    def push_function_set(self) -> frozenset[str]:
        """The functions that clients may push."""
        return frozenset(name.strip() for name in self.push_functions.split(","))

    def api_key_list(self) -> list[str]:
        """The API keys, one by one."""
        return _split(self.api_keys.get_secret_value())

    def webhook_secret_list(self) -> list[str]:
        """The service's secrets, one by one."""
        return _split(self.webhook_secrets.get_secret_value())

    def cors_origin_list(self) -> list[str]:
        """The origins as browsers send them: in lower case, without the scheme's default port."""
        return [_without_default_port(origin.lower()) for origin in _split(self.cors_origins)]


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _members(value: SecretStr) -> list[str]:
    """What a list names. Raises ValueError for a list of nothing, such as `,`, which must not open the API."""
    given = value.get_secret_value()
    members = _split(given)
    if given and not members:
        raise ValueError("it names nothing: leave it empty, or name one")
    return members


def _without_default_port(origin: str) -> str:
    return origin.removesuffix(_DEFAULT_PORTS.get(origin.partition("://")[0], ""))
