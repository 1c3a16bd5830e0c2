"""What clients are shown: of a job, and of the API itself."""
