"""From a lock file to something runnable."""
