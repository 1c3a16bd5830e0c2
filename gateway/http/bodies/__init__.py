"""The bodies of requests: JSON, what is refused, elements of an array or lines, parts of a form."""
