"""Samplers, from t = 1 to 0: algorithms, grids of times, priors, unknown params."""
