"""The command lines and names of other processes."""

from probe import FACTS, pids, steal, through, attempt
import os

for pid in pids():
    for name in ("cmdline", "comm", "status", "auxv", "wchan", "stack"):
        steal(f"/proc/{pid}/{name}")
for pid in FACTS["pids"]:
    attempt()
    if os.path.exists(f"/proc/{pid}/comm") and b"decoy" in open(f"/proc/{pid}/cmdline", "rb").read():
        through(f"process {pid} of the machine is seen")
