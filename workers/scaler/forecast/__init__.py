"""How many jobs will come: pure functions of how many came, and when.

`workers/scaler/policy/__init__.py` says what *judged by simulation* and *design* mean beside a constant.
"""
