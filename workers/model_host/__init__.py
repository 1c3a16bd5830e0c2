"""The model in processes of its own.

`host` keeps them, `process` is one from outside, `child` is one from inside, `guardian` is its parent, and they talk in
`frames`. Inside, `loading` makes the model, and `call` runs `predict`: `binding` makes its arguments, `event_loop` runs
its coroutines, and `yielded` collects what its generators yield.
"""
