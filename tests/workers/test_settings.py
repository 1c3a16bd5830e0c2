"""Settings: what is refused, with which words, and what is never shown."""

from __future__ import annotations

import logging
import re

import pytest
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from workers.settings import StreamSettings, WorkerSettings, load, without_credentials
from workers.telemetry.logs import configure_logging


class Secrets(BaseSettings):
    """Settings with secrets in them."""

    keys: SecretStr = Field(SecretStr(""))
    token: SecretStr | None = Field(None, max_length=3)
    lists: list[SecretStr] = Field([])

    @field_validator("keys")
    @classmethod
    def _check(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            raise ValueError("Key 1 is too short")
        return value


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("REDIS_URL", "foo", "bad setting REDIS_URL='foo': a server's URL starts with redis://, rediss:// or unix://"),
        (
            "REDIS_URL",
            "http://h",
            "bad setting REDIS_URL='http://h': a server's URL starts with redis://, rediss:// or",
        ),
        ("REDIS_URL", "redis://h:port/0", "bad setting REDIS_URL='redis://h:port/0': not a server's URL, such as"),
        ("REDIS_URL", "redis://h/one", "bad setting REDIS_URL='redis://h/one': a server's URL ends with the number"),
        ("REDIS_URL", "redis://h?x=1", "bad setting REDIS_URL='redis://h?x=1': a server's URL has an unknown option"),
        ("REDIS_URL", "unix://", "bad setting REDIS_URL='unix://': a unix:// URL names a socket's path"),
        ("REDIS_URL", "redis://u:hunter2@h:port", "bad setting REDIS_URL='redis://***@h:port': not a server's URL"),
        ("REDIS_URL", "redis://u:hun/ter2@h", "bad setting REDIS_URL='redis://***@h': special characters"),
        ("REDIS_URL", "redis://u:hun#ter2@h", "bad setting REDIS_URL='redis://***@h': special characters"),
        ("REDIS_URL", "u:hunter2@h", "bad setting REDIS_URL='***@h': a server's URL starts with"),
        ("REDIS_URL", "unix:///s?password=hunter2&x=1", "bad setting REDIS_URL='unix:///s?password=***&x=1': "),
        (
            "REDIS_URL",
            "rediss://h?ssl_ca_certs=/no.pem",
            "bad setting REDIS_URL='rediss://h?ssl_ca_certs=/no.pem': ssl_ca",
        ),
        ("REDIS_URL", f"rediss://h?ssl_ca_certs={__file__}", "bad setting REDIS_URL='rediss://h?ssl_ca_certs="),
        ("REDIS_URL", "rediss://h?ssl_cert_reqs=maybe", "bad setting REDIS_URL='rediss://h?ssl_cert_reqs=maybe': "),
        ("LEASE_S", "0", "bad setting LEASE_S='0': input should be greater than or equal to 1"),
        ("LEASE_S", "x", "bad setting LEASE_S='x': input should be a valid number"),
        ("CONCURRENCY", "x" * 1000, "bad setting CONCURRENCY='xxxxx"),
        ("PROBE_PORT", "70000", "bad setting PROBE_PORT='70000': input should be less than or equal to 65535"),
        ("LOG_LEVEL", "LOUD", "bad setting LOG_LEVEL='LOUD': string should match pattern"),
        ("DEAD_LETTER_AGE_S", "inf", "bad setting DEAD_LETTER_AGE_S='inf': input should be less than or equal to 315"),
        ("MAX_DEAD_LETTERS", f"{2**53}", f"bad setting MAX_DEAD_LETTERS='{2**53}': input should be less than or equal"),
        ("MODEL_MEMORY_LIMIT_BYTES", f"{2**64}", f"bad setting MODEL_MEMORY_LIMIT_BYTES='{2**64}': input should be l"),
        ("JOB_TIMEOUT_S", "inf", "bad setting JOB_TIMEOUT_S='inf': input should be a finite number"),
        ("MODEL", "model.py", "bad setting MODEL='model.py': string should match pattern"),
        ("MODEL_DEVICES", "0,,1", "bad setting MODEL_DEVICES='0,,1': string should match pattern"),
        ("MODEL_FORK", "perhaps", "bad setting MODEL_FORK='perhaps': input should be a valid boolean"),
        ("MODEL_HEALTH_S", "-1", "bad setting MODEL_HEALTH_S='-1': input should be greater than or equal to 0"),
        ("MODEL", "/srv/model:Model", "bad setting MODEL='/srv/model:Model': string should match pattern"),
    ],
)
def test_a_bad_setting_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load(WorkerSettings)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(sentence)
    assert error.count("\n") == 1
    assert len(error) < 300
    assert "hun" not in error


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://h",
        "redis://h:6379/15",
        "redis://user:p%40ss@h:6379/0",
        "redis://[::1]:6379/0",
        "rediss://h:6380/0?ssl_cert_reqs=required",
        "unix:///run/redis.sock",
        "unix://user:password@/run/redis.sock?db=2",
    ],
)
def test_urls_that_are_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    assert load(StreamSettings).redis_url == url


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "LEASE_S", "MODEL"):
        monkeypatch.setenv(name, "")
    settings = load(WorkerSettings)
    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert (settings.lease_s, settings.model) == (30, "workers.model:Model")


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    sentences = {
        "KEYS": "bad setting KEYS: key 1 is too short\n",
        "TOKEN": "bad setting TOKEN: ",
        "LISTS": "bad settings: error parsing value for field",
    }
    for name, sentence in sentences.items():
        with monkeypatch.context() as patch:
            patch.setenv(name, "hunter2")
            with pytest.raises(SystemExit) as ended:
                load(Secrets)
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith(sentence)
        assert "hunter2" not in error
    assert "hunter2" not in repr(StreamSettings(redis_url="redis://u:hunter2@h/0"))


def test_without_credentials() -> None:
    assert without_credentials("redis://u:p@ss@h:1/0") == "redis://***@h:1/0"
    assert without_credentials("redis://h:1/0") == "redis://h:1/0"
    assert without_credentials("unix:///s?username=u&password=p&db=1") == "unix:///s?username=***&password=***&db=1"


def test_log_lines(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    try:
        configure_logging("WARNING")
        logging.getLogger("some.part").warning("what %s", "happened")
        logging.getLogger("some.part").info("too little")
        error = capsys.readouterr().err
    finally:
        root.setLevel(before[0])
        root.handlers[:] = before[1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING some\.part: what happened\n", error)
