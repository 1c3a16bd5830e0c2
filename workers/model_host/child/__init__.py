"""A model's process from inside: what it runs beside the model."""
