"""Restorer networks, one file each."""
