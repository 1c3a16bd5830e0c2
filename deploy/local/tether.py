"""Becomes another program that dies with its parent: `tether.py PARENT SIGNAL PROGRAM [ARGUMENT ...]`.

PARENT is the parent's process id, SIGNAL the number of the signal that the program gets when the parent
ends in whatever way. Linux only; elsewhere the program is just run.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Does not return: it is the program then, or exits with 1 if the parent is gone already."""
    parent, signal_number, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
