"""`python -m bench peers`. Who takes part is in contenders.py, what is measured in measure.py.

The programs in `libraries/` run in each library's own environment, which venvs.py makes.
"""
