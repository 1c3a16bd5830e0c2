"""The OpenAPI 3.1 description of the gateway: a module for each group of paths, with their schemas."""
