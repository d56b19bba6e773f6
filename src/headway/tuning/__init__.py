"""Search spaces and trials."""
