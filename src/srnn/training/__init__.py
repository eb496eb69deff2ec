"""Training: recipes, the loop, optimisation, checkpoints, runs, evaluation, and the part of
compression that training calls."""
