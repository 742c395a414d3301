"""The degradations, one file each."""
