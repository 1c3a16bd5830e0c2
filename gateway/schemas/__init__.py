"""What models take and return: the schemas that workers publish, and how pushes are checked by them."""
