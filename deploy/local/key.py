"""`python3 deploy/local key`: makes an API key or a secret of webhooks, and prints it. It writes no file.

key new NAME            an API key, and what goes into API_KEYS_FILE
key webhook-secret      a secret for a name's `webhook_secrets` there
"""

from __future__ import annotations

import base64
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
        case ["webhook-secret"]:
            print("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
        case _:
            sys.stderr.write(
                "usage: python3 deploy/local key new NAME (letters, digits and _.@-, at most 64), or webhook-secret\n"
            )
            sys.exit(2)


def text_of(name: str, key: str) -> str:
    """What is printed: the key for its user, and its entry for the file."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"# The key, which is shown only now: {key}\nkeys:\n  - name: {name}\n    sha256: [{digest}]"


if __name__ == "__main__":
    main()
