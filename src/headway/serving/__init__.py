"""Keep a model answering."""
