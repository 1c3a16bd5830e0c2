"""What a number of pods costs: the pods, and the price of the jobs that will be late with them."""
