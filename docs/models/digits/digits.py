"""Which digit is it? A classifier of scikit-learn's that is trained when it is loaded."""

from typing import Annotated, TypedDict

import numpy as np
from pydantic import Field
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Image = Annotated[list[Annotated[float, Field(ge=0, le=16)]], Field(min_length=64, max_length=64)]


class Guess(TypedDict):
    """What is answered."""

    digit: int
    probability: float


class Digits:
    """Learns from the 1,797 images of scikit-learn's own. A model of yours would load what was trained elsewhere."""

    max_batch_size = 100

    def __init__(self) -> None:
        images, digits = load_digits(return_X_y=True)
        self.classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
        self.classifier.fit(images, digits)

    def predict_batch(self, images: list[Image]) -> list[Guess]:
        """The likeliest digit for each image of 8 rows of 8 pixels, from 0 (white) to 16."""
        probabilities = self.classifier.predict_proba(np.array(images))
        return [{"digit": int(row.argmax()), "probability": round(float(row.max()), 4)} for row in probabilities]
