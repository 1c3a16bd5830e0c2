"""The processes that models live in."""
