"""What keeps the project up to date: lists of packages, the tables of the settings, pictures of the page."""
