"""Windows, drift and performance."""
