"""Data set versions by digest."""
