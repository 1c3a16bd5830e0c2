"""The command `leadtime`, where it is not on the path."""

from __future__ import annotations

from .command.main import main

if __name__ == "__main__":
    main()
