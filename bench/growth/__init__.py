"""What a call costs as the queue and the number of workers grow: `python -m bench growth`."""
