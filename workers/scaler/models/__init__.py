"""Many models under one scaler: read from a file, put together, seen and decided in rounds, their budget shared."""
