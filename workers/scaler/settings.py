"""Settings of the scaler, from the environment."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads it
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from workers.scaler.policy import Options
from workers.settings import LogFormat, LogLevel, NotNegative, Positive, StreamSettings, check_certificate

# Seconds from a decision to the order for pods, by SCALER_MODE: half a tick of the HPA (its default), which is the mean
# wait for the next one, or a round of ours.
ACTUATION_S = {"keda": 7.5, "direct": 1.0}


class PolicySettings(BaseSettings):
    """Settings of every scaler: of one in a cluster, and of `WORKERS=auto` on a laptop."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    min_replicas: Annotated[int, Field(ge=0, le=10_000)] = Field(0, description="workers there are at least")
    max_replicas: Annotated[int, Field(ge=1, le=10_000)] = Field(10, description="workers there are at most")
    objective_s: NotNegative = Field(
        0.0, description="how long a job should wait at most; 0 is as long as a job takes itself, on average"
    )
    late_cost: Positive = Field(
        12.0, description="what a job that waits longer costs, in the cost of a worker for the time that it takes"
    )
    service_guess_s: Positive = Field(5.0, description="how long a job takes, until one has been seen")
    startup_guess_s: Positive = Field(30.0, description="how long a worker takes to start, until one has been seen")

    standby_replicas: Annotated[int, Field(ge=0, le=10_000)] = Field(
        0, description="idle workers that are kept beyond those that will be busy, within MAX_REPLICAS"
    )
    standby_price: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0,
        description="what one of them costs, as a part of a worker: only those are kept that save more late jobs than "
        "they cost; 0 keeps all of them",
    )

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"MIN_REPLICAS={self.min_replicas} is more than MAX_REPLICAS={self.max_replicas}")
        if self.standby_replicas > self.max_replicas:
            raise ValueError(f"STANDBY_REPLICAS={self.standby_replicas} is more than MAX_REPLICAS={self.max_replicas}")
        return self

    def options(self, concurrency: int, actuation_s: float) -> Options:
        """Returns them as the policy takes them."""
        return Options(
            max_replicas=self.max_replicas,
            min_replicas=self.min_replicas,
            objective_s=self.objective_s or None,
            late_cost=self.late_cost,
            concurrency=concurrency,
            actuation_s=actuation_s,
            service_guess_s=self.service_guess_s,
            startup_guess_s=self.startup_guess_s,
            standby=self.standby_replicas,
            standby_price=self.standby_price,
        )


class ScalerSettings(PolicySettings, StreamSettings):
    """One scaler process in a cluster."""

    scaler_mode: Literal["keda", "direct"] = Field(
        "keda", description="who carries decisions out: KEDA, which asks this scaler, or the scaler itself"
    )
    models_file: Path | None = Field(
        None,
        description="YAML file of several models and their budget, see docs/many-models.md: what is said of each model "
        "there counts in place of the settings here; empty is one model",
    )
    actuation_s: NotNegative = Field(
        0.0,
        description="how long a decision waits on average until it is carried out; 0 is 7.5 s with KEDA, half of the "
        "HPA's tick (--horizontal-pod-autoscaler-sync-period), and 1 s without",
    )
    deployment: str = Field("workers", pattern=r"^[a-z0-9.-]{1,253}$", description="Deployment that is scaled")
    lease_name: str = Field(
        "scaler", pattern=r"^[a-z0-9.-]{1,253}$", description="Lease object by which one of its replicas leads"
    )
    kubernetes_url: str = Field(
        "",
        pattern=r"^(https?://.*)?$",
        description="URL of the API server, such as kubectl proxy's; empty is the pod's",
    )
    pod_name: str = Field("", description="the scaler's own pod; its name in the election of a leader")
    pod_namespace: str = Field("default", description="namespace of that pod and of the Deployment")
    concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="the workers' CONCURRENCY")
    model_max_batch_size: Annotated[int, Field(ge=0, le=1000)] = Field(
        0, description="the workers' MODEL_MAX_BATCH_SIZE, if the model has predict_batch; 0 is one job at a time"
    )
    model_max_concurrency: Annotated[int, Field(ge=0, le=1000)] = Field(
        0, description="the workers' MODEL_MAX_CONCURRENCY, if predict is async; 0 is one job at a time"
    )
    scaler_port: Annotated[int, Field(ge=1, le=65_535)] = Field(9000, description="port that KEDA asks (gRPC)")
    tls_cert_file: Path | None = Field(None, description="certificate chain (PEM) for gRPC; goes with TLS_KEY_FILE")
    tls_key_file: Path | None = Field(None, description="private key (PEM) for gRPC; goes with TLS_CERT_FILE")
    tls_client_ca_file: Path | None = Field(
        None, description="authorities (PEM) one of which must have signed the asker's certificate; empty asks for none"
    )
    probe_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        0, description="port of /healthz, /readyz and /metrics; 0 is none"
    )
    log_level: LogLevel = "INFO"
    log_format: LogFormat = "text"

    @property
    def policy_options(self) -> Options:
        """The policy's options."""
        slots = self.concurrency * max(1, self.model_max_batch_size, self.model_max_concurrency)
        return self.options(slots, self.actuation_s or ACTUATION_S[self.scaler_mode])

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        check_certificate(self.tls_cert_file, self.tls_key_file, self.tls_client_ca_file)
        return self
