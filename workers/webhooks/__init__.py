"""Webhooks: clients' addresses are told what happens to their jobs (Standard Webhooks).

The stream writes each event as a job of an internal queue (`workers/stream/lua/working/webhooks.lua`). The gateways
are the workers of that queue: it is there while no model's worker is.
"""
