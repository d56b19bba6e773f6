"""Queue and life of executions."""
