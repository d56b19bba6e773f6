"""Experiments, runs, metrics; search; series."""
