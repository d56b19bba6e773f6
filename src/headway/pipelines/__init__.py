"""What a pipeline is: tasks and what they read."""
