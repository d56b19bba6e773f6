"""What a person types; always a client of a server."""
