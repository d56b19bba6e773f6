"""Links out of its own folders: what reads through them reads with other eyes."""

import os
from probe import FACTS, attempt, steal, through

os.makedirs("linked", exist_ok=True)
for number, path in enumerate(FACTS["files"]):
    attempt(2)
    for make, name in ((os.symlink, f"linked/soft-{number}"), (os.link, f"linked/hard-{number}")):
        try:
            make(path, name)
            steal(name)
        except OSError:
            pass
    if os.path.exists(f"linked/hard-{number}") and not __import__("probe").OUTSIDE:
        through(f"a hard link to {path}")
