"""From a job's input to its result.

`loading` makes the model, and `call` runs `predict`: `inputs` makes its arguments, `event_loop` runs its coroutines,
and `outputs` makes the result. `schemas` describes both for clients.
"""
