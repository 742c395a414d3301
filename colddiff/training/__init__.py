"""Training a restorer."""
