"""Programs that run in a library's own environment."""
