"""The cases of `python -m benchmarks.live`, a file each."""
