"""What a model raises when its process is of no more use."""

from __future__ import annotations


class Broken(Exception):  # noqa: N818
    """Raised by `predict`: this process can't answer any more, such as after an error of CUDA.

    The process is replaced, and the job is tried again if it has attempts left.
    """
