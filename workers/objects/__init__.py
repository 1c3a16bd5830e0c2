"""Objects: bytes too large for the stream's server, in a store of their own. Gateway and workers use it."""
