"""Benchmarks: each measures distcomp and its peer or floor in the same run, and prints the ratio."""
