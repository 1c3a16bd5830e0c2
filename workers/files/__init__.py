"""The files of jobs, on the worker's side: between the object store and a folder that the model's process sees."""
