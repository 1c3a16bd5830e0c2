"""All about the work: the stream, the workers that claim from it, the model that they run."""
