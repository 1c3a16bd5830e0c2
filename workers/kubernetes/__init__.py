"""What is asked of Kubernetes, by workers and scalers alike."""
