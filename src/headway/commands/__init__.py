"""From comment text to a command; the inbox."""
