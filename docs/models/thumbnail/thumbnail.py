"""An image in, a smaller image out; both as texts in base64, since JSON has no bytes."""

import base64
import binascii
import io
from typing import Annotated

from PIL import Image, UnidentifiedImageError
from pydantic import Field


class Thumbnail:
    """Makes PNGs that fit into a square."""

    def predict(self, image: str, size: Annotated[int, Field(ge=1, le=1024)] = 64) -> dict[str, str | int]:
        """`image` is a file of any format that Pillow reads; `size` is the square's side in pixels."""
        try:
            picture = Image.open(io.BytesIO(base64.b64decode(image, validate=True)))
        except (binascii.Error, UnidentifiedImageError) as error:
            raise ValueError(f"image is no image in base64: {type(error).__name__}") from None
        picture.thumbnail((size, size))
        file = io.BytesIO()
        picture.convert("RGB").save(file, "PNG")
        return {"image": base64.b64encode(file.getvalue()).decode(), "width": picture.width, "height": picture.height}
