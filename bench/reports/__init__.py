"""`python -m bench report FILE...`: tables and plots of runs, side by side.

checked.py reads the files; summary.py makes figures of one run, series.py curves; table.py prints, plots.py draws,
page.py puts all of it on one HTML page.
"""
