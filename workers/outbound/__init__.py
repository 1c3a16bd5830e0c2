"""Requests that the service sends to addresses that a client has named."""
