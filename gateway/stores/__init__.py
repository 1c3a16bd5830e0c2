"""What is kept elsewhere than in a job's record: inputs of a batch that is still coming, large inputs and results."""
