"""What HTTP is made of: requests, inputs, API keys, responses, errors, limits, routing; none knows the context."""
