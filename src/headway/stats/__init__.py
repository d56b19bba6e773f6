"""Distances, bootstrap and sketches: pure numbers in, numbers out."""
