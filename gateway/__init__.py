"""The HTTP edge: takes jobs in, tells their status, hands out their results."""
