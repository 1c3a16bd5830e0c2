"""What the worker and the model's process say to each other, on both sides of their connection."""
