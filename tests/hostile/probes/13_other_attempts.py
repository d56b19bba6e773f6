"""The folders of other attempts: specification with its token, journal, log, work."""

import os
from probe import FACTS, steal, steal_tree, writes, through

own = os.path.dirname(os.environ.get("HOME", ""))
steal_tree(f"{FACTS['data']}/attempts", most=300)
for folder in FACTS["attempts"]:
    for name in ("attempt.json", "params.json", "log", "door/journal", "order.json", "work/planted.txt", "exit.json"):
        steal(f"{folder}/{name}")
    if not __import__("probe").OUTSIDE and writes(f"{folder}/log", b"hwpoison"):
        through(f"wrote into {folder}")
steal_tree("../..", most=300) if not __import__("probe").OUTSIDE else None
