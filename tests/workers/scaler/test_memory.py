"""What a scaler keeps in Redis, and what another release or anybody else may have left there."""

from __future__ import annotations

import orjson
import pytest

from workers.scaler.memory import VERSION, Memory, dump, dump_decision, load, load_decision
from workers.scaler.policy import Decision, Options, Snapshot, start

DECISION = Decision(3, "because", 1.5, 31.0, 1_700_000_000_000, held=True)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b"null",
        b'{"version":"0-0","memory":{}}',
        b'{"version":"%b","memory":{"now_s":1}}' % VERSION.encode(),
    ],
)
def test_other_state_is_no_state(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert load(data) is None
    assert "starting anew" in caplog.text


def test_state_of_the_wrong_types_is_not_written() -> None:
    state = start(Snapshot(1.0, 0, 0, 0, 0), Options())
    memory = Memory(now_s=1.0, state=state, decision=DECISION, count=7, arrived=9, services_seen={"worker-1": 3})
    assert load(dump(memory)) == memory

    wrong = memory.model_copy(update={"services_seen": {"worker-1": "many"}})

    with pytest.raises(ValueError, match="the state can't be written"):
        dump(wrong)


def test_decisions_of_others_are_checked() -> None:
    assert load_decision(dump_decision(DECISION)) == DECISION
    for data in (b"", b"3", b'{"replicas":-1,"reason":""}', b'{"replicas":"x"}'):
        assert load_decision(data) is None


def test_decisions_of_releases_with_fewer_or_more_fields_are_read() -> None:
    fields = orjson.loads(dump_decision(DECISION))

    older = orjson.dumps({name: value for name, value in fields.items() if name != "lead_s"})
    newer = orjson.dumps(fields | {"confidence": 0.9})

    assert load_decision(older) == Decision(3, "because", 1.5, 0.0, 1_700_000_000_000, held=True)
    assert load_decision(newer) == DECISION
