"""The way to the server: connections, subscriptions, and what becomes of them when it is away."""
