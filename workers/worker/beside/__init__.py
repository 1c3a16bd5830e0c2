"""What a worker does beside its jobs: heartbeats, probes, arq's health line."""
