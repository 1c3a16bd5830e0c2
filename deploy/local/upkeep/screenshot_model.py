"""The model of the pictures: takes 6 s to load, and tells a story word by word."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from workers.job import current

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOAD_S = 6.0
_WORD_S = 0.15
_WORDS_A_LINE = 5
_STORY = "Once upon a time a queue was long and the workers were few so one looked ahead and ordered more in time"


class Storyteller:
    """Says as many words as it is asked for."""

    def __init__(self) -> None:
        time.sleep(_LOAD_S)

    def predict(
        self,
        prompt: str,
        words: Annotated[int, Field(ge=1, le=100, description="how long the story is")] = 20,
        tone: Literal["calm", "grim"] = "calm",
    ) -> Iterator[str]:
        """Yields one word after the other."""
        if tone == "grim":
            raise ValueError("the model tells no grim stories")
        said = _STORY.split()
        current().log(f"a {tone} story of {words} words, on the prompt {prompt!r}")
        for number in range(words):
            time.sleep(_WORD_S)
            if number % _WORDS_A_LINE == 0:
                current().log(f"words {number + 1} to {min(words, number + _WORDS_A_LINE)}")
            current().progress(number / words, f"{number} of {words} words")
            yield said[number % len(said)] + " "
