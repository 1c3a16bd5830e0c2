"""What the policy is told by the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trustme
from pydantic import ValidationError

from workers.scaler.settings import ScalerSettings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("mode", "told_s", "expected_s"), [("keda", 0, 7.5), ("direct", 0, 1), ("keda", 2.5, 2.5), ("direct", 3, 3)]
)
def test_actuation_is_that_of_the_mode_unless_it_is_told(
    mode: str, told_s: float, expected_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALER_MODE", mode)
    monkeypatch.setenv("ACTUATION_S", str(told_s))
    monkeypatch.setenv("CONCURRENCY", "3")
    options = ScalerSettings().policy_options
    assert (options.actuation_s, options.concurrency) == (expected_s, 3)


@pytest.mark.parametrize("setting", ["MODEL_MAX_BATCH_SIZE", "MODEL_MAX_CONCURRENCY"])
@pytest.mark.parametrize(("size", "expected"), [("", 3), ("0", 3), ("1", 3), ("20", 60)])
def test_a_worker_with_batches_or_shared_processes_runs_so_many_jobs_in_each(
    setting: str, size: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONCURRENCY", "3")
    monkeypatch.setenv(setting, size)
    assert ScalerSettings().policy_options.concurrency == expected


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("localhost")
    cert, key, nonsense = (tmp_path / name for name in ("cert.pem", "key.pem", "nonsense"))
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    nonsense.write_text("nonsense", encoding="utf-8")

    with pytest.raises(ValidationError, match="TLS_CERT_FILE and TLS_KEY_FILE are no certificate and its key"):
        ScalerSettings(tls_cert_file=nonsense, tls_key_file=key)
    with pytest.raises(ValidationError, match="TLS_CLIENT_CA_FILE has no authorities"):
        ScalerSettings(tls_cert_file=cert, tls_key_file=key, tls_client_ca_file=nonsense)
