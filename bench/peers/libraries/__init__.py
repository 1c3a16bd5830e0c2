"""One module per library, run in an environment of that library's own."""
