"""Settings of the gateway, from the environment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

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
