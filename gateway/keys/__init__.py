"""Named API keys: the file that has them, and what is told whoever reaches a limit."""
