"""Metrics, reports, and what they recommend."""
