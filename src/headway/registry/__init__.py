"""Model versions, aliases and promotion rules."""
