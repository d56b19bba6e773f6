"""Numbers and rules to a verdict; pure."""
