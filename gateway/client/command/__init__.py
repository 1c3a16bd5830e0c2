"""The command `leadtime`: jobs, batches and queues of a gateway, in a terminal."""
