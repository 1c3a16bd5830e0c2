"""What runs are shown as: tables, plots and one page."""
