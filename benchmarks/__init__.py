"""Benchmarks: each prints the bare floor and ours, measured in the same run, and the ratio."""
