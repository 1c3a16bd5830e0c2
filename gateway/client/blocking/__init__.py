"""The client for programs without asyncio, and the event loop in a thread that it runs on."""
