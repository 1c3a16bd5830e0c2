"""The model in processes of its own.

`host` keeps them, `process` is one from outside, `child` is one from inside, `guardian` is its parent, and they talk in
`frames`. Inside, `calls` is all about the model itself.
"""
