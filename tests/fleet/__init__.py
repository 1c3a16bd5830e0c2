"""A whole service in processes of its own, whose parts are killed, and a client that does not give up."""
