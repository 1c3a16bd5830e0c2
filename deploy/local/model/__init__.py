"""What a laptop does for a model: its packages, a check of it, what its process writes."""
