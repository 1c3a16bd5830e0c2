"""The model in processes of its own.

`host` keeps them in slots, `process` is one from outside, `child` is one from inside, and they talk by `protocol`.
Inside, `calls` is all about the model itself. `guard` has them end with all that they started, and `forks` is the
faster way to start them.
"""
