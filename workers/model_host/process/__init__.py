"""A model's process as the worker sees it."""
