"""What is wrong with a machine or a run."""
