"""A text generator that yields one word after another, from a chain of words that is learned in the constructor."""

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

_SAID = """
the cat sat on the mat and the dog sat on the cat and the mouse ran under the mat
and the dog ran after the mouse and the cat ran after the dog
"""


class Babble:
    """Says what might come after a word."""

    def __init__(self) -> None:
        self.following: dict[str, list[str]] = defaultdict(list)
        words = _SAID.split()
        for word, after in itertools.pairwise(words):
            self.following[word].append(after)

    def predict(
        self, first: str = "the", words: Annotated[int, Field(ge=1, le=1000)] = 10, seed: int = 0
    ) -> Iterator[str]:
        """Yields at most `words` words; the same seed gives the same text."""
        choose = random.Random(seed)  # noqa: S311
        word = first
        yield word
        for _ in range(words - 1):
            if not self.following[word]:
                return
            word = choose.choice(self.following[word])
            yield f" {word}"
