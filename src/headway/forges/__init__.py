"""Where changes live: GitHub, a local repository."""
