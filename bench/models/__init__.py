"""The models that the benchmarks serve."""
