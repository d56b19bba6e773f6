"""How foreign code is run: isolation, supervisor, door."""
