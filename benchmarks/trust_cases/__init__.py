"""The cases of `python -m benchmarks.trust`."""
