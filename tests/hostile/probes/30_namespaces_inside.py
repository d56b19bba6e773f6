"""New namespaces of its own, by unshare, clone and the programs that make them."""

import os, subprocess
from probe import OUTSIDE, attempt, libc, through

for name, flag in (
    ("user", 0x10000000),
    ("mount", 0x20000),
    ("network", 0x40000000),
    ("pid", 0x20000000),
    ("cgroup", 0x02000000),
):
    attempt()
    child = os.fork()
    if child == 0:
        os._exit(0 if libc.unshare(flag) == 0 else 1)
    if os.waitpid(child, 0)[1] == 0:
        through(f"a {name} namespace can be made")
for argv in (
    ["unshare", "-Ur", "true"],
    ["bwrap", "--ro-bind", "/", "/", "true"],
    ["nsenter", "-t", "1", "-m", "true"],
    ["chroot", "/", "true"],
):
    attempt()
    if not OUTSIDE:
        try:
            if subprocess.run(argv, capture_output=True, timeout=5, check=False).returncode == 0:
                through(" ".join(argv))
        except (OSError, subprocess.TimeoutExpired):
            pass
