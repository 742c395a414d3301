"""Restorers, untrained and trained."""
