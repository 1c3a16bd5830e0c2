"""From a job's input to its result.

`loading` makes the model, and `call` runs `predict`: `binding` makes its arguments, `event_loop` runs its coroutines,
and `yielded` collects what its generators yield.
"""
