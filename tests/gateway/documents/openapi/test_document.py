"""The description is true: schemathesis makes requests of it, and checks every answer against it."""

from __future__ import annotations

import contextlib
import os
import time
import urllib.request
import uuid
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from pydantic import SecretStr
from redis import Redis
from schemathesis.core import NotSet

from deploy.local.processes import TetheredProcess
from gateway.documents.openapi.document import describe
from gateway.http.bodies.content import LINES
from gateway.settings import GatewaySettings
from tests.gateway.service import PATIENCE_S
from tests.processes import ROOT, module
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from tests.servers import Server

    Case: TypeAlias = schemathesis.Case[Any]

KEY = "key-0123456789abcdef"
WEBHOOK_SECRET = "secret-0123456789abcdef0"
QUICK = settings(
    max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

schemathesis.serializer.alias(LINES[0], "text/plain")


@pytest.fixture(scope="module", params=["", KEY], ids=["open", "locked"])
def key(request: pytest.FixtureRequest) -> str:
    """The API key that the gateway wants; empty is none."""
    return str(request.param)


@contextlib.contextmanager
def serving(server: Server, key: str, store: str, *others: str) -> Iterator[tuple[str, str]]:
    """URL and queue of a gateway, with `python -m OTHER` beside it."""
    port, queue = free_port(), f"openapi-{uuid.uuid4().hex}"
    environment = {
        **os.environ,
        "REDIS_URL": server.url,
        "QUEUE_NAME": queue,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "MAX_WAIT_S": "1",
        "API_KEYS": key,
        "OBJECT_STORE": store,
        "WEBHOOK_SECRETS": WEBHOOK_SECRET,
        "MODEL_SETUP_S": "0",
        "MODEL_PREDICT_S": "0.01",
    }
    processes = [TetheredProcess(module(part), environment, cwd=ROOT) for part in ("gateway", *others)]
    base = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                urllib.request.urlopen(f"{base}/readyz", timeout=5).close()  # noqa: S310
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield base, queue
    finally:
        for process in processes:
            process.terminate()
        assert [process.reap(PATIENCE_S) for process in processes] == [0] * len(processes)


@pytest.fixture(scope="module")
def base(server: Server, key: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a gateway with a store, and a worker behind it: jobs finish."""
    with serving(server, key, f"file:{tmp_path_factory.mktemp('objects')}", "workers") as (base, _):
        yield base


def with_settings(key: str) -> GatewaySettings:
    secret = SecretStr(WEBHOOK_SECRET)
    return GatewaySettings(max_wait_s=1, api_keys=SecretStr(key), webhook_secrets=secret, object_store="file:objects")


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def one_input(_context: schemathesis.HookContext, case: Case) -> bool:
    # OpenAPI has no way to say "this or that": two inputs are refused, and so is none. Nor can it say how far ahead a
    # time may be, and what a line of NDJSON is.
    if "at" in case.query or case.media_type == LINES[0]:
        return False
    return case.path != "/push" or ("input" in case.query) != (not isinstance(case.body, NotSet))


def no_webhook(_context: schemathesis.HookContext, case: Case) -> bool:
    # It would go to a made-up host.
    return case.query.keys().isdisjoint({"webhook", "webhook_events"})


def prepared(api: Any) -> Any:
    api.hook("filter_case")(one_input)
    api.hook("filter_case")(no_webhook)
    # A well-formed Idempotency-Key may be one that another input had before.
    api.config.checks.positive_data_acceptance.expected_statuses += ["422"]
    return api


schema = prepared(schemathesis.openapi.from_dict(describe(with_settings(""))))


def test_the_document_is_valid_and_served(base: str, key: str) -> None:
    schema.validate()
    request = urllib.request.Request(f"{base}/openapi.json", headers=headers(key))  # noqa: S310
    with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
        assert orjson.loads(response.read()) == orjson.loads(orjson.dumps(describe(with_settings(key))))


@QUICK
@schema.parametrize()  # type: ignore[untyped-decorator]
def test_answers_are_as_described(case: Case, base: str, key: str) -> None:
    case.call_and_validate(base_url=base, headers=headers(key))


@pytest.mark.slow
def test_chains_of_requests(server: Server, key: str) -> None:
    # Without a worker, and from an empty queue each time: the same chain always gets the same answers.
    with serving(server, key, "") as (base, queue), Redis.from_url(server.url) as redis:
        api = prepared(schemathesis.openapi.from_url(f"{base}/openapi.json", headers=headers(key)))
        api.config.generation.update(modes=[schemathesis.GenerationMode.POSITIVE])

        class Chains(api.as_state_machine()):  # type: ignore[misc]
            def setup(self) -> None:
                if keys := [*redis.scan_iter(f"{{{queue}}}:*", 1000)]:
                    redis.delete(*keys)

            def get_call_kwargs(self, case: Case) -> dict[str, Any]:
                case.headers.pop("Prefer", None)
                if "wait" in case.query:
                    case.query["wait"] = "0.01"
                return {"headers": headers(key)}

        Chains.run(settings=settings(QUICK, max_examples=15, stateful_step_count=8))
