"""Whether a process has traces, and what it says if it can't have those that it is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.processes import ROOT
from workers.process.secrets import OF_COLLECTORS, without_secrets
from workers.telemetry.tracing import open_tracing, tracer_or_end

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    open_tracing.cache_clear()
    yield
    open_tracing.cache_clear()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SERVICE_NAME": "mine"},
        {ENDPOINT: ""},
        {ENDPOINT: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {ENDPOINT: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nobody_has_asked_for_traces(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert open_tracing("leadtime-test") is None


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "bad setting OTEL_TRACES_EXPORTER='zipkin': it is otlp, console or none"),
        (
            {ENDPOINT: "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "bad setting OTEL_EXPORTER_OTLP_PROTOCOL='http/json': it is http/protobuf or grpc",
        ),
        (
            {ENDPOINT: "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL='grpc' needs the package opentelemetry-exporter-otlp-proto-grpc",
        ),
    ],
)
def test_what_cannot_be_had_ends_the_process_with_a_sentence(
    variables: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as end:
        tracer_or_end("leadtime-test")

    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


PROGRAM = """
from workers.telemetry.tracing import open_tracing
tracer = open_tracing("leadtime-test")
with tracer.start_as_current_span("a span"):
    pass
"""


def test_spans_reach_the_console_under_the_services_name_before_the_process_ends() -> None:
    variables = {**os.environ, "OTEL_TRACES_EXPORTER": "console", "OTEL_RESOURCE_ATTRIBUTES": "team=mine"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=variables, cwd=ROOT, capture_output=True, check=True)

    text = done.stdout.decode()
    assert '"name": "a span"' in text
    assert '"service.name": "leadtime-test"' in text
    assert '"team": "mine"' in text


def test_without_traces_nothing_of_opentelemetry_is_imported() -> None:
    program = "import sys, gateway.app, workers.__main__; print([n for n in sys.modules if 'opentelemetry' in n])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True)

    assert done.stdout.decode().strip() == "[]"


def test_what_lets_a_process_into_the_collector_is_kept_from_the_model_and_not_from_the_worker() -> None:
    token = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret"}
    given = {**token, ENDPOINT: "http://collector:4318", "API_KEYS": "a-key"}

    assert without_secrets(given) == {ENDPOINT: "http://collector:4318"}
    assert without_secrets(given, OF_COLLECTORS) == {ENDPOINT: "http://collector:4318", **token}
