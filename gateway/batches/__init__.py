"""Jobs that are pushed together: all of them or none, and their results in one answer."""
