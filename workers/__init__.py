"""All about the work: the stream, the workers that claim from it, the model that they run."""

# The project's: pyproject.toml reads it here, since an image has the packages and no metadata of theirs.
__version__ = "0.2.0"
