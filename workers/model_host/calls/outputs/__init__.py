"""From what `predict` returned or yielded to a result."""
