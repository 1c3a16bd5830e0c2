"""A worker's life: it claims jobs, runs them, renews their leases, and says how they ended."""

from workers.worker.worker import Worker

__all__ = ["Worker"]
