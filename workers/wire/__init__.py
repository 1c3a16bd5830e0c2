"""JSON in and out: what a model or a function gets is what was pushed, what a client gets is what was returned."""
