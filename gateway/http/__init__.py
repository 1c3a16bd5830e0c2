"""What HTTP is made of: requests, bodies, keys, errors, limits."""
