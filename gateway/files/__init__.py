"""Files in pushes and results, and large inputs and results: what goes through the object store."""
