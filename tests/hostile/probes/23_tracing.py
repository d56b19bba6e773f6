"""Attach to other processes, to its own parent, and to the init of its namespace."""

import os
from probe import FACTS, OUTSIDE, attempt, libc, through

targets = FACTS["decoy_pids"] if OUTSIDE else [1, os.getppid(), *FACTS["pids"]]
for pid in targets:
    for request in (16, 0x4206):  # ATTACH, SEIZE
        attempt()
        if libc.ptrace(request, pid, 0, 0) == 0:
            through(f"process {pid} can be traced")
            if request == 16:
                os.waitpid(pid, 0x40000000)
            libc.ptrace(17, pid, 0, 0)
    if pid in FACTS["pids"]:
        try:
            os.kill(pid, 0)
            through(f"process {pid} can be signalled")
        except OSError:
            attempt()
