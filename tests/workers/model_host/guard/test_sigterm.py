"""SIGTERM while a tracer runs, as one of coverage or of a debugger does in each step of the traced code."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, signal, sys
from workers.model_host.guard.sigterm import Sigterm, Terminated

steps = []

def tracer(frame, event, argument):
    if frame.f_code is spin.__code__ and not steps:
        steps.append("tracer begins")
        os.kill(os.getpid(), signal.SIGTERM)
        steps.append("tracer ends")
    return tracer

def spin():
    try:
        while True:
            steps[2:] = []
    finally:
        steps.append("finally")

Sigterm().listen()
sys.settrace(tracer)
try:
    spin()
except Terminated:
    sys.settrace(None)
    print(*steps, sep=", ")
"""


def test_a_tracer_is_not_interrupted_and_the_traced_code_is() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True, timeout=60)

    assert done.stdout == "tracer begins, tracer ends, finally\n"
