"""The simulator: jobs, pods, scalers and what carries out their decisions, as exact discrete events."""
