"""Moving in from another tracker: what reads the source, what packs it, and what compares at the end."""
