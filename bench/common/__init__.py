"""What several commands of the bench share."""
