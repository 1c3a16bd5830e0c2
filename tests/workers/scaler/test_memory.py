"""What a scaler keeps in Redis, and what another release or anybody else may have left there."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from workers.scaler.memory import VERSION, Memory, dump, dump_decision, load, load_decision
from workers.scaler.policy import Decision, Options, Snapshot, decide, start

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


def test_the_state_of_a_release_with_another_forecast_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """Its version is a hash of what a state is made of; windows and their track record are no regimes."""
    state = {"arrivals": {"since_s": 0.0, "last_s": 9.0, "base": 0, "total": 7, "sums": [[1.0, 2.0]] * 9}}
    old = orjson.dumps({"version": "1-0123456789ab", "memory": {"now_s": 9.0, "state": state, "count": 7}})

    assert load(old) is None
    assert "of another version" in caplog.text


def test_a_state_is_the_same_after_it_was_written_and_read() -> None:
    options, state, arrived = Options(), None, 0
    for second in range(600):
        arrived += 2 if second % 300 < 60 else 0
        snapshot = Snapshot(float(second), arrived, 0, 2, 3, (4.0,), (5.0,), (30.0,))
        decision, state = decide(snapshot, state or start(snapshot, options), options)
    assert state is not None
    memory = Memory(now_s=600.0, state=state, decision=decision, count=7, arrived=9, services_seen={})

    read = load(dump(memory))

    assert read is not None
    assert read.state == state
    later = replace(snapshot, now_s=601.0)
    assert decide(later, read.state, options) == decide(later, state, options)


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
