"""Benchmarks: commands that measure ratios in one run, as opposed to tests."""
