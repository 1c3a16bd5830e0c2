"""How many replicas there should be: pure functions, without clock and without I/O."""

from workers.scaler.policy.policy import Decision, Options, Snapshot, State, decide, start

__all__ = ["Decision", "Options", "Snapshot", "State", "decide", "start"]
