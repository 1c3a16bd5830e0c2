"""One budget over many models: who gets how many pods, where they want more together than there is. Pure.

`share.py` begins with `share`; `worth.py` says what a pod is worth to a model, and `words.py` why it got how many.
"""

from workers.scaler.budget.claims import Claim, Grant
from workers.scaler.budget.share import share

__all__ = ["Claim", "Grant", "share"]
