"""What the gateway says of its queues: the figures of `/metrics`, the views of `/overview`."""
