"""How many jobs will come: pure functions of how many came, and when.

Every constant here says what it means, its unit, where it comes from, and an example. *Judged by simulation* means: no
paper and no law gives it; change it, run `python -m bench simulate --load LOAD --process poisson --rule leadtime` with
the load that is named beside it, and compare the jobs in time with the cost. *Design* means: it keeps the arithmetic
finite, the memory small or the time short.
"""
