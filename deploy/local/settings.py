"""Settings of the run command, from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class UpSettings(BaseSettings):
    """What `python3 deploy/local up` starts. The parts it starts read their own settings from the same environment."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    port: Annotated[int, Field(ge=1, le=65_535)] = Field(8002, description="port of the API")
    workers: Annotated[int, Field(ge=0, le=1000)] | Literal["auto"] = Field(
        1, description="number of worker processes; auto starts and stops them as jobs come and go"
    )
    redis_url: str = Field("", description="server to use; empty starts an embedded Valkey")
    data_dir: Path = Field(
        Path(".leadtime"), description="folder of the embedded server's data, relative to the project's"
    )
    appendfsync: Literal["always", "everysec", "no"] = Field(
        "always", description="when the embedded server writes to disk: before each answer, every second, or at leisure"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="least severe log line that is written"
    )
