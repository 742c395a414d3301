"""How fast the library is beside others, measured side by side: `python -m benchmarks`."""
