"""How many jobs will come: pure functions of those that came."""
