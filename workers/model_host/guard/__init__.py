"""How a model's process ends with all that it has started: `guardian` is its parent, `leash` what the worker holds."""
