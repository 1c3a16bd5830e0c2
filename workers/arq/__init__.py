"""What keeps arq's promises: its arguments, the client in `ctx`, jobs, cron jobs."""
