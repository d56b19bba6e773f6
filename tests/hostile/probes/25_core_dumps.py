"""Where cores go, and whether that can be turned into a program of ours."""

import os, resource, signal
from probe import OUTSIDE, attempt, steal, through

steal("/proc/sys/kernel/core_pattern")
if not OUTSIDE:
    try:
        os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
        through("core_pattern can be written")
    except OSError:
        attempt()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
        os._exit(1)
    os.waitpid(child, 0)
    attempt()
for folder in (".", "/var/lib/systemd/coredump", "/var/crash"):
    attempt()
    if os.path.isdir(folder):
        for name in os.listdir(folder):
            if name.startswith("core"):
                steal(f"{folder}/{name}")
