"""How the client speaks to a gateway: requests, when they are made again, server-sent events."""
