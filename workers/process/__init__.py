"""What a process of the service does about itself: as process 1, and with its secrets."""
