"""A bad setting of the gateway stops the start, with one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Protocol

import pytest
import trustme

from gateway.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path


class Start(Protocol):
    """Starts a gateway that ends at once; what it says before."""

    def __call__(self, **settings: str) -> str: ...


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Start:
    """The gateway's `main`, in the process of the test."""

    def start(**settings: str) -> str:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        said = capfd.readouterr().err
        assert said.count("\n") == 1
        return said

    return start


def test_a_gateway_with_a_bad_setting_ends_with_a_sentence() -> None:
    environment = {**os.environ, "PORT": "70000"}
    command = [sys.executable, "-m", "gateway"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("bad setting PORT='70000': ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "70000"), ("MAX_INPUT_BYTES", "0"), ("MAX_WAIT_S", "nan"), ("MAX_WAITERS", "-1"), ("LOG_LEVEL", "LOUD")],
)
def test_bad_values(start: Start, name: str, value: str) -> None:
    assert start(**{name: value}).startswith(f"bad setting {name}={value!r}: ")


def test_a_key_may_upload_the_largest_file(start: Start) -> None:
    said = start(UPLOAD_BYTES_PER_HOUR="999", MAX_OBJECT_BYTES="1000")
    assert said == "bad settings: UPLOAD_BYTES_PER_HOUR (999) must be at least MAX_OBJECT_BYTES (1000)\n"


@pytest.mark.parametrize("keys", ["short", "good-0123456789abcdef,short-secret", "has a space in it 123"])
def test_bad_api_keys_are_not_shown(start: Start, keys: str) -> None:
    said = start(API_KEYS=keys)
    assert said.startswith("bad setting API_KEYS")
    assert "16 or more" in said
    assert not any(key in said for key in keys.split(","))


@pytest.mark.parametrize("name", ["API_KEYS", "WEBHOOK_SECRETS"])
@pytest.mark.parametrize("value", [",", " ", " , "])
def test_a_list_of_nothing_is_refused(start: Start, name: str, value: str) -> None:
    assert start(**{name: value}) == f"bad setting {name}: it names nothing: leave it empty, or name one\n"


def test_bad_tls_files(start: Start, tmp_path: Path) -> None:
    authority = trustme.CA()
    one, other = authority.issue_cert("127.0.0.1"), authority.issue_cert("127.0.0.1")
    one.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    one.private_key_pem.write_to_path(tmp_path / "key.pem")
    other.private_key_pem.write_to_path(tmp_path / "other.pem")
    (tmp_path / "nonsense").write_text("nonsense")
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    assert "go together" in start(TLS_CERT_FILE=cert)
    assert "is not a file" in start(TLS_CERT_FILE=cert, TLS_KEY_FILE=str(tmp_path / "missing"))
    for bad_cert, bad_key in [("nonsense", key), (cert, "nonsense"), (cert, "other.pem")]:
        said = start(TLS_CERT_FILE=str(tmp_path / bad_cert), TLS_KEY_FILE=str(tmp_path / bad_key))
        assert "are no certificate and its key" in said


@pytest.mark.parametrize(
    "path", ["/", "leadtime", "/leadtime/", "//leadtime", "/a//b", "/a/../b", "/.", "/a b", "/%61", "/a?b"]
)
def test_a_bad_root_path(start: Start, path: str) -> None:
    said = start(ROOT_PATH=path)
    assert said.startswith(f"bad setting ROOT_PATH={path!r}: must begin with / and not end with one")


def test_a_root_path_is_no_path_of_the_api(start: Start) -> None:
    assert start(ROOT_PATH="/status") == "bad setting ROOT_PATH='/status': must not be a path of the API itself\n"


@pytest.mark.parametrize(
    "origin", ["app.example", "https://app.example/", "https://app.example/a", "https://", "null", "https://*.example"]
)
def test_a_bad_origin(start: Start, origin: str) -> None:
    said = start(CORS_ORIGINS=f"http://localhost:3000,{origin}")
    assert said.startswith("bad setting CORS_ORIGINS=")
    assert f"{origin!r} is no origin: scheme://host or scheme://host:port" in said


def test_all_origins_stand_alone(start: Start) -> None:
    assert "* is all origins, and stands alone" in start(CORS_ORIGINS="*,https://app.example")
