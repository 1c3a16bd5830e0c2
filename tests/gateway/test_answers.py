"""What was pushed reaches the model, and what it returns reaches the client: gateway, server, worker and model."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.local.processes import TetheredProcess
from tests.gateway.service import PATIENCE_S
from tests.processes import ROOT, module
from tests.queues import queue_name
from tests.servers import free_port
from workers.wire.limits import MAX_INT_DIGITS, MAX_NESTING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server

SERVICE_NAMES = (
    "id",
    "latency",
    "input",
    "output",
    "warnings",
    "_job",
    "__job",
    "status",
    "error",
    "attempts",
    "ahead",
)
BOUNDED = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


class EchoService:
    """A gateway and a worker whose model returns its input."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        """Status and document of an answer. The document's integers are exact."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Content-Type": "application/json"} if body is not None else {})
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def push(self, body: bytes) -> tuple[int, Any]:
        """The answer to a push that waits for its end."""
        return self.ask("POST", "/push?wait=30", body)

    def both(self, body: bytes) -> tuple[Any, Any]:
        """The documents of a job that finishes: the answer to its push, and its data."""
        status, pushed = self.push(body)
        assert status == 200, pushed
        status, data = self.ask("GET", f"/data/{job_of(pushed)['id']}")
        assert status == 200, data
        return pushed, data


def job_of(document: Any) -> Any:
    """The service's members of a document, wherever they are."""
    holders = [name for name in ("___job", "__job", "_job") if name in document]
    return document[holders[0]] if holders and "latency" in service_of(document, holders[0]) else document


def service_of(document: Any, name: str) -> Any:
    member = document[name]
    return member if isinstance(member, dict) else {}


@contextlib.contextmanager
def serving(server: Server, model: str) -> Iterator[EchoService]:
    """A gateway and a worker with that model."""
    port = free_port()
    environment = {
        **os.environ, "REDIS_URL": server.url, "QUEUE_NAME": queue_name(), "HOST": "127.0.0.1", "PORT": str(port),
        "MODEL": model, "MAX_RESULT_BYTES": "100000",
    }  # fmt: skip
    processes = [TetheredProcess(module(part), environment, cwd=ROOT) for part in ("gateway", "workers")]
    service = EchoService(port)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            assert service.ask("GET", "/healthz")[0] == 200
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield service
    for process in processes:
        process.terminate()
    assert [process.reap(PATIENCE_S) for process in processes] == [0, 0]


@pytest.fixture(scope="module")
def service(server: Server) -> Iterator[EchoService]:
    """A gateway and a worker, shared by the tests here."""
    with serving(server, "tests.workers.models:Odd") as service:
        yield service


def nested(depth: int, leaf: Any = 1) -> Any:
    for level in range(depth):
        leaf = [leaf] if level % 2 else {"a": leaf}
    return leaf


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(SERVICE_NAMES) | st.text(max_size=10), inner, max_size=6),
    max_leaves=20,
)  # fmt: skip


@given(JSON.filter(lambda value: value != ""), st.booleans())
@BOUNDED
def test_what_is_pushed_comes_back_digit_for_digit(service: EchoService, value: Any, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=ascii_only or None).encode()

    pushed, data = service.both(body)

    for document in (pushed, data):
        members = value if isinstance(value, dict) else {"output": value}
        assert {name: repr(document[name]) for name in members} == {name: repr(part) for name, part in members.items()}
        if "input" not in members:
            assert repr(document["input"]) == repr(value)
        assert job_of(document)["latency"] >= 0
    assert job_of(pushed)["status"] == "finished"
    assert set(data) <= set(pushed) | {name for name in data if name.endswith("_job")}


@given(st.integers(MAX_NESTING - 4, MAX_NESTING + 4), st.sampled_from([1, 2**70, "]}", None]))
@BOUNDED
def test_what_is_accepted_is_served_and_what_is_not_names_the_limit(
    service: EchoService, depth: int, leaf: Any
) -> None:
    body = json.dumps(nested(depth, leaf)).encode()

    if depth <= MAX_NESTING:
        service.both(body)
    else:
        status, problem = service.push(body)
        assert (status, problem["detail"]) == (400, "the input is not taken: it is nested more than 254 deep")


@pytest.mark.parametrize("body", [b"[" * 5000 + b"]" * 5000, b"[" * 100_000, b'{"a":' * 300 + b"1" + b"}" * 300])
def test_a_body_nested_too_deep_is_refused(service: EchoService, body: bytes) -> None:
    status, problem = service.push(body)
    assert (status, problem["detail"]) == (400, "the input is not taken: it is nested more than 254 deep")


def test_an_integer_of_too_many_digits_is_refused(service: EchoService) -> None:
    longest = "9" * MAX_INT_DIGITS
    pushed, data = service.both(longest.encode())
    assert pushed["output"] == data["output"] == int(longest)
    status, problem = service.push(f"[{longest}9]".encode())
    assert (status, problem["detail"]) == (400, "the input is not taken: an integer has more than 4300 digits")


@pytest.mark.parametrize(
    ("name", "expected", "warnings"),
    [
        ("nan", {"scores": [0.5, None], "output": None}, [{"pointer": "/scores/1", "detail": "NaN became null"}]),
        ("nan list", {"output": [None, 1]}, [{"pointer": "/0", "detail": "Infinity became null"}]),
        ("surrogate", {"output": "a\ufffd"}, [{"pointer": "", "detail": "a lone surrogate became U+FFFD"}]),
        ("decimal", {"1": 1.5, "set": [1]}, None),
    ],
)
def test_what_json_cannot_say_is_told_beside_the_result(
    service: EchoService, name: str, expected: dict[str, Any], warnings: Any
) -> None:
    for document in service.both(json.dumps(name).encode()):
        assert {key: document[key] for key in expected} == expected
        assert document.get("warnings") == warnings
        assert document["input"] == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bytes", "predict returned a dict that can't be written as JSON: bytes, to be made a text first, .*/image/0"),
        ("deep tuple", "predict returned a tuple that can't be written as JSON: it is nested more than 254 deep"),
    ],
)
def test_what_has_no_json_fails_its_job_with_what_and_where(service: EchoService, name: str, message: str) -> None:
    status, document = service.push(json.dumps(name).encode())
    assert (status, document["status"], document["error"]["type"]) == (200, "failed", "TypeError")
    assert document["error"]["message"].startswith(message.split(", .*", maxsplit=1)[0])
    assert document["error"]["message"].endswith(message.rsplit(".*", maxsplit=1)[-1])


def test_members_of_the_model_stay_and_the_services_go_apart(service: EchoService) -> None:
    returned = {"id": 7, "status": "happy", "_job": None, "confidence": 0.93}

    pushed, data = service.both(json.dumps(returned).encode())

    assert {name: data[name] for name in returned} == {name: pushed[name] for name in returned} == returned
    assert data["input"] == returned
    assert set(data["__job"]) == {"id", "latency"}
    assert data["latency"] == data["__job"]["latency"]
    assert pushed["__job"]["id"] == data["__job"]["id"]
    assert (pushed["__job"]["status"], pushed["attempts"]) == ("finished", 1)


def test_the_result_limit_counts_the_result_alone(service: EchoService) -> None:
    pushed, data = service.both(json.dumps({"confidence": 0.5, "text": "x" * 99_900}).encode())
    assert len(data["input"]["text"]) == len(pushed["text"]) == 99_900


def test_a_text_of_the_query_is_an_input_as_well(service: EchoService) -> None:
    status, document = service.ask("POST", "/push?wait=30&input=12345678901234567890123")
    assert (status, document["output"], document["input"]) == (
        200,
        "12345678901234567890123",
        "12345678901234567890123",
    )


def test_an_async_generator_of_several_parameters_answers_clients(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "joins_words.py"
    file.write_text(
        "from collections.abc import AsyncIterator\nfrom typing import Annotated\n\n"
        "from pydantic import AfterValidator\n\n"
        "def short(text):\n    assert len(text) < 3, 'too long'\n    return text\n\n"
        "class Model:\n"
        "    async def predict(self, words: list[str], between: Annotated[str, AfterValidator(short)] = ' ')"
        " -> AsyncIterator[str]:\n"
        "        for word in words:\n            yield word + between\n"
    )
    with serving(server, f"{file}:Model") as service:
        pushed, data = service.both(b'{"words": ["one", "two"], "between": "-"}')
        _, failed = service.push(b'{"words": [], "between": "long"}')  # what only the worker can find out

    assert pushed["output"] == data["output"] == "one-two-"
    assert data["input"] == {"words": ["one", "two"], "between": "-"}
    assert failed["status"] == "failed"
    assert failed["attempts"] == 1
    assert failed["error"] == {"type": "InvalidInput", "message": "/between: Assertion failed, too long"}
