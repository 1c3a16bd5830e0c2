"""What a scaler shows of itself: its status, the log, metrics, the probe, and facts for the page."""
