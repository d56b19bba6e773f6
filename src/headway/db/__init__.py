"""Connections, the schema and its migrations."""
