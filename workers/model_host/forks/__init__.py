"""Model processes that are forked from one in which the model is loaded, the template.

The template runs no job. `template` is the worker's view of it, and `forking` what goes on in it.
"""
