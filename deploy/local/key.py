"""`python3 deploy/local key new NAME`: makes an API key, and prints what goes into API_KEYS_FILE. It writes no file."""

from __future__ import annotations

import hashlib
import re
import secrets
import sys

_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")


def main() -> None:
    """Ends the process with the exit code: 0, or 2 for bad arguments."""
    match sys.argv[1:]:
        case ["new", name] if _NAME.fullmatch(name):
            print(text_of(name, "lt_" + secrets.token_urlsafe(32)))
        case _:
            sys.stderr.write("usage: python3 deploy/local key new NAME (letters, digits and _.@-, at most 64)\n")
            sys.exit(2)


def text_of(name: str, key: str) -> str:
    """What is printed: the key for its user, and its entry for the file."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"# The key, which is shown only now: {key}\nkeys:\n  - name: {name}\n    sha256: [{digest}]"


if __name__ == "__main__":
    main()
