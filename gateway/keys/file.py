"""API_KEYS_FILE: keys with names and limits, read again when the file changes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.http.api_keys import NAME, ApiKeys, Caller, owner_of_name
from workers.stream import NO_LIMITS, Priority, PushLimits
from workers.webhooks.signature import is_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)

_LOOK_S = 2.0
_MOST_BYTES = 4_194_304


class KeyFileError(ValueError):
    """The file can't be used. The message is one sentence."""


def _check_secret(text: str) -> str:
    if not is_secret(text):
        raise ValueError("a secret is whsec_ and 24 to 64 bytes in base64 (python3 deploy/local key webhook-secret)")
    return text


WebhookSecret: TypeAlias = Annotated[str, AfterValidator(_check_secret)]


class KeyLimits(BaseModel):
    """What a name may push; a limit that is not there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pushes_per_s: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    outstanding: Annotated[int, Field(ge=1, le=10_000)] | None = None
    bytes_per_day: Annotated[int, Field(ge=1, le=10**15)] | None = None
    backlog_share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    highest_priority: Priority = "high"

    @model_validator(mode="after")
    def _check_burst(self) -> Self:
        if self.burst and not self.pushes_per_s:
            raise ValueError("burst goes with pushes_per_s")
        return self

    def limits(self) -> PushLimits:
        """As the stream takes them. Without `burst`, as many may come at once as in a second."""
        rate = self.pushes_per_s or 0.0
        return PushLimits(
            rate, self.burst or max(1, int(rate)), self.outstanding or 0, self.bytes_per_day or 0,
            self.backlog_share or 0.0,
        )  # fmt: skip


class NamedKeys(BaseModel):
    """One name with its keys, each as the SHA-256 in hex: two of them while one takes over from the other."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    sha256: Annotated[list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]], Field(min_length=1, max_length=8)]
    limits: KeyLimits = KeyLimits()
    webhook: Annotated[str, Field(pattern=r"^(https?://[!-~]+)?$")] = ""
    webhook_secrets: Annotated[list[WebhookSecret], Field(max_length=2)] = []
    admin: bool = False

    def caller(self) -> Caller:
        """Who has sent a request with one of the keys."""
        limits = self.limits
        is_limited = limits.model_dump(exclude={"highest_priority"}, exclude_none=True)
        return Caller(
            owner_of_name(self.name),
            limits.limits() if is_limited else NO_LIMITS,
            self.webhook,
            self.admin,
            limits.highest_priority,
            tuple(self.webhook_secrets),
        )


class KeyFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: Annotated[list[NamedKeys], Field(min_length=1, max_length=10_000)]


def read_keys(path: Path) -> dict[bytes, Caller]:
    """The callers that the file names, by the digest of their key. Raises KeyFileError."""
    import yaml

    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise KeyFileError(f"{path} has more than {_MOST_BYTES} bytes")
        keys = KeyFile.model_validate(yaml.safe_load(text)).keys
    except OSError as error:
        raise KeyFileError(f"{path} can't be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise KeyFileError(f"{path} is nested too deep") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise KeyFileError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from None
    callers = {bytes.fromhex(digest): one.caller() for one in keys for digest in one.sha256}
    if len(callers) < sum(len(one.sha256) for one in keys):
        raise KeyFileError(f"{path}: a key is there twice")
    if len({one.name for one in keys}) < len(keys):
        raise KeyFileError(f"{path}: a name is there twice")
    return callers


async def follow_keys(path: Path, api_keys: ApiKeys, others: Mapping[bytes, Caller]) -> None:
    """Reads the file again whenever it has changed, until it is cancelled. While it is bad, what was known holds."""
    seen = _stamp(path)
    while True:
        await asyncio.sleep(_LOOK_S)
        stamp = _stamp(path)
        if stamp == seen:
            continue
        seen = stamp
        try:
            api_keys.use({**others, **await asyncio.to_thread(read_keys, path)})
        except KeyFileError as error:
            logger.error("API_KEYS_FILE was changed, and the keys of before hold: %s", error)
        else:
            logger.info("API_KEYS_FILE was read again: %d keys", len(api_keys.callers))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
