"""What keeps arq's promises: the client in `ctx`, and cron jobs."""
