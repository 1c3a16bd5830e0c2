"""Requests that wait for news of jobs."""
