"""The page: its files, the overview that it listens to, and the history that it draws."""
