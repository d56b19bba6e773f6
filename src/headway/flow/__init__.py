"""The story: the one package that knows the order of the steps."""
