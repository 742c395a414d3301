"""Data sets that need not fit into memory."""
