"""Training data, loops and recipes of every network."""
