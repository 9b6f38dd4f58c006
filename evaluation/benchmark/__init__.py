"""Benchmarks: training, inference and data loading, timed in turn with the official way of doing them."""
