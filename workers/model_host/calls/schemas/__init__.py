"""What `predict` takes and returns, as JSON schemas."""
