"""Command and project to a plan; task keys; pure."""
