"""Settings of the stream and the workers, from the environment. Units are in the names."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NoReturn, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.exceptions import RedisError

from workers.server_url import SCHEMES, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]

LogLevel = Annotated[
    str, Field(pattern=r"^(DEBUG|INFO|WARNING|ERROR)$", description="least severe log line that is written")
]

LogFormat = Annotated[
    Literal["text", "json"], Field(description="lines of the log, the model's among them: `text`, or `json` objects")
]

BAD_SETTING = 2  # exit code of a process that will not start, however often
LOAD_FAILED = 3  # exit code of a worker whose model does not load: another start may help, but not at once
_MOST = 2**53 - 1  # the server's functions count in doubles, and its commands and the kernel in 64 bits
_MOST_SHOWN_CHARS = 100
_CREDENTIALS = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.DOTALL)
_SECRET_OPTIONS = re.compile(r"((?:user|pass)\w*=)[^&#]*", re.IGNORECASE)


class StreamSettings(BaseSettings):
    """Where the stream is and how long things in it live; shared by gateway and workers."""

    # A variable that is set to nothing means the default.
    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, defer_build=True)

    # Of an internal queue: all its keys begin with `{QUEUE_NAME}` and this.
    part: ClassVar[str] = ""

    # Not in the repr: it may hold a password.
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="server that holds the stream (redis://, rediss://, unix://), or who knows it "
        "(redis+sentinel://, redis+cluster://)",
    )
    redis_timeout_s: Positive = Field(1.5, description="how long the server may be silent before it counts as down")
    push_replicas: Annotated[int, Field(ge=0, le=16)] = Field(
        0, description="replicas of the server that must have confirmed a push before it is answered (WAIT)"
    )
    queue_name: str = Field(
        "leadtime", pattern=r"^[A-Za-z0-9_.:-]{1,100}$", description="name of the queue, the hash tag of its keys"
    )
    lease_s: Annotated[float, Field(ge=1, le=86_400)] = Field(
        30.0, description="a job whose worker dies is claimed by another within this time"
    )
    keep_result_s: Annotated[float, Field(ge=1, le=31_536_000)] = Field(
        86_400.0, description="how long an ended job's record and result are kept"
    )
    job_timeout_s: Positive = Field(
        300.0, description="how long one attempt may take; of jobs in one call, the call; the longest `?timeout=`"
    )
    results_memory_bytes: Annotated[int, Field(ge=0)] = Field(
        0, description="memory that results may take before the oldest are given up; 0 gives up none"
    )
    max_events: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        10_000, description="events kept of one job (progress, log lines, partial results), the last ones; 0 keeps none"
    )
    max_events_bytes: Annotated[int, Field(ge=1)] = Field(
        4_194_304, description="bytes that these may take; of what is more the oldest go, but the last one stays"
    )
    idempotency_s: Annotated[float, Field(ge=1, le=31_536_000)] = Field(
        86_400.0, description="how long an Idempotency-Key is remembered, at most as long as its job"
    )
    max_backlog: Annotated[int, Field(ge=1)] = Field(
        100_000, description="jobs waiting, running and deferred above which pushes are refused"
    )
    fair_turns: bool = Field(
        False, description="whether jobs of different names (API keys) are taken in turns where jobs wait"
    )
    dead_letter_age_s: Annotated[float, Field(ge=60, le=3_153_600_000)] = Field(
        604_800.0, description="how long a failed job's payload is kept"
    )
    max_dead_letters: Annotated[int, Field(ge=1)] = Field(10_000, description="how many failed jobs' payloads are kept")

    @field_validator("*")
    @classmethod
    def _check_whole_number(cls, value: object) -> object:
        if type(value) is int and value > _MOST:
            raise ValueError(f"input should be less than or equal to {_MOST}")
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, url: str) -> str:
        if not url.startswith(SCHEMES):
            raise ValueError("a server's URL starts with redis://, rediss:// or unix://")
        parts = urlsplit(url)
        if parts.fragment or "@" in parts.path + parts.query:
            raise ValueError("special characters in a user or password are written as %XX")
        server = read(url).server
        parts = urlsplit(server)
        if parts.scheme == "unix":
            if not parts.path:
                raise ValueError("a unix:// URL names a socket's path")
        elif not re.fullmatch(r"(/\d*)?", parts.path):
            raise ValueError("a server's URL ends with the number of a database, such as /0")
        try:
            options: dict[str, Any] = {**parse_url(server)}
            connection = options.pop("connection_class", Connection)(**options)  # connects to nothing yet
        except TypeError as error:
            raise ValueError(f"a server's URL has an unknown option ({str(error).rpartition(' ')[2]})") from None
        except (ValueError, RedisError):
            raise ValueError("not a server's URL, such as redis://user:password@host:6379/0") from None
        if isinstance(connection, SSLConnection):
            _check_tls(connection, options)
        return url


class ObjectSettings(BaseSettings):
    """Where files, and inputs and results that are large, are kept; shared by gateway and workers."""

    model_config = StreamSettings.model_config

    object_store: str = Field(
        "",
        pattern=r"^((file:|(s3|gs|az)://).+)?$",
        description="where files go: file:FOLDER, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX; "
        "empty is nowhere, but `up` has a folder in DATA_DIR (docs/operations.md)",
    )
    object_timeout_s: Positive = Field(10.0, description="how long one request of the object store may take")
    inline_bytes: Annotated[int, Field(ge=1024)] = Field(
        65_536,
        description="size of an input or a result of the model above which it goes there, not into Redis",
    )
    max_object_bytes: Annotated[int, Field(ge=1)] = Field(
        1_073_741_824, description="size of one file above which it is refused"
    )


class WorkerSettings(ObjectSettings, StreamSettings):
    """One worker process and the model in it."""

    model: str = Field(
        "workers.model:Model",
        pattern=r"^([\w.]+|.+\.py):\w+$",
        description="class that does the work, as module:Class or /path/to/file.py:Class",
    )
    concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="model processes of one worker; each runs one job at a time, one batch, or several jobs at once"
    )
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = Field(5, description="attempts after which a job is failed")
    unknown_function_s: NotNegative = Field(
        3600.0, description="a job whose function no worker has had for this long is failed"
    )
    look_ahead_s: Annotated[float, Field(ge=0, le=1)] = Field(
        0.05,
        description="how many seconds of short jobs a worker holds already while one runs; 0 is none, and brings no "
        "files of the next job meanwhile",
    )
    grace_s: NotNegative = Field(25.0, description="how long a worker that was told to stop may finish its jobs")
    model_load_timeout_s: Positive = Field(600.0, description="how long loading the model may take")
    model_memory_limit_bytes: Annotated[int, Field(ge=0)] = Field(
        0, description="address space a model process may use; 0 is no limit"
    )
    model_stop_s: Annotated[float, Field(ge=0, le=60)] = Field(
        3.0, description="how long a model process that is to end has from SIGTERM to SIGKILL; at most 1 s for a cancel"
    )
    model_max_failures: Annotated[int, Field(ge=0)] = Field(
        10, description="failed jobs in succession after which the model is checked, and replaced if broken; 0 is never"
    )
    model_max_jobs: Annotated[int, Field(ge=0)] = Field(
        0, description="jobs after which a model process is replaced, or up to a fifth before; 0 is never"
    )
    model_max_batch_size: Annotated[int, Field(ge=0, le=1000)] = Field(
        0, description="jobs run in one call of a model that has predict_batch; 0 is what its class says, or 8"
    )
    model_max_batch_wait_s: NotNegative | None = Field(
        None, description="how long a smaller batch waits for more jobs; empty is what the class says, or 0"
    )
    model_max_concurrency: Annotated[int, Field(ge=0, le=1000)] = Field(
        0, description="jobs that one model process runs at once if predict is async; 0 is what the class says, or 1"
    )
    model_spares: Annotated[int, Field(ge=0, le=100)] = Field(
        0, description="loaded spare processes, which take over from those that end; none if the model can be forked"
    )
    model_devices: str = Field(
        "",
        pattern=r"^([\w.:/-]+(,[\w.:/-]+)*)?$",
        description="devices that the model processes share out by CUDA_VISIBLE_DEVICES: auto, or a list such as 0,1; "
        "empty leaves the variable alone",
    )
    model_health_s: NotNegative = Field(
        60.0, description="how often an idle model process is asked for its health, if the model can say; 0 is never"
    )
    model_health_timeout_s: Positive = Field(10.0, description="how long that may take; the process is replaced then")
    model_fork: bool = Field(
        False, description="load the model once and fork the model processes from that one (docs/model.md)"
    )
    max_result_bytes: Annotated[int, Field(ge=1)] = Field(
        16_777_216, description="size of a result above which its job is failed"
    )
    fetch_allow: str = Field(
        "",
        description="comma-separated hosts, addresses and networks from which files of inputs may be fetched although "
        "they are not public, and also by http; empty is none",
    )
    fetch_timeout_s: Positive = Field(60.0, description="how long one file that a client has named by its URL may take")
    ready_file: str = Field("", description="file that exists while the worker is ready; empty is none")
    probe_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        0, description="port of /healthz, /readyz and /metrics of a worker; 0 is none"
    )
    log_level: LogLevel = "INFO"
    log_format: LogFormat = "text"


def _check_tls(connection: SSLConnection, options: Mapping[str, Any]) -> None:
    """Raises ValueError unless the files and options of a rediss:// URL can be used."""
    for option in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if option in options and not Path(options[option]).is_file():
            raise ValueError(f"{option}: {options[option]} is not a file")
    try:
        connection.ssl_context.get()
    except (OSError, ValueError, RedisError) as error:
        raise ValueError(f"its ssl options can't be used: {error}") from None


def check_certificate(cert: Path | None, key: Path | None, client_ca: Path | None = None) -> None:
    """Raises ValueError unless a certificate and its key go together, and the files have what they should have."""
    if (cert is None) != (key is None):
        raise ValueError("TLS_CERT_FILE and TLS_KEY_FILE go together")
    if client_ca and not cert:
        raise ValueError("TLS_CLIENT_CA_FILE needs TLS_CERT_FILE and TLS_KEY_FILE")
    for file in (cert, key, client_ca):
        if file is not None and not file.is_file():
            raise ValueError(f"{file} is not a file")
    if cert and key:
        context = SSLContext(PROTOCOL_TLS_SERVER)
        try:
            # Without the password, a key that has one would be asked for on the terminal.
            context.load_cert_chain(cert, key, password="")
        except (OSError, ValueError) as error:
            raise ValueError(f"TLS_CERT_FILE and TLS_KEY_FILE are no certificate and its key: {error}") from None
        try:
            if client_ca:
                context.load_verify_locations(client_ca)
        except OSError as error:
            raise ValueError(f"TLS_CLIENT_CA_FILE has no authorities: {error}") from None


S = TypeVar("S", bound=BaseSettings)


def load(settings: type[S]) -> S:
    """Reads settings from the environment, or ends the process (exit code 2) with one sentence on what is wrong."""
    try:
        return settings()
    except ValidationError as error:
        end_with_bad_setting(_sentence(settings, error.errors()[0]))
    except SettingsError as error:  # a list or the like that is no JSON
        end_with_bad_setting(f"bad settings: {error}")


def end_with_bad_setting(sentence: str) -> NoReturn:
    """Ends the process with one line on stderr and an exit code that means: don't start it again."""
    sys.stderr.write(f"{sentence}\n")
    sys.exit(BAD_SETTING)


def without_credentials(url: str) -> str:
    """A URL with `***` for the user and the password in it, so that it may be shown."""
    return _SECRET_OPTIONS.sub(r"\1***", _CREDENTIALS.sub(r"\1***@", url, count=1))


def _sentence(settings: type[BaseSettings], error: ErrorDetails) -> str:
    what = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return f"bad settings: {what}"
    field = str(error["loc"][0])
    return f"bad setting {field.upper()}{_shown(settings, field, error['input'])}: {what[:1].lower()}{what[1:]}"


def _shown(settings: type[BaseSettings], field: str, value: Any) -> str:
    info = settings.model_fields.get(field)
    if info is None or _is_secret(info.annotation):
        return ""
    text = repr(without_credentials(value) if isinstance(value, str) else value)
    return "=" + (text if len(text) <= _MOST_SHOWN_CHARS else text[: _MOST_SHOWN_CHARS - 3] + "...")


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_is_secret, get_args(annotation)))
