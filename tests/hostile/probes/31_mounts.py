"""Mounts: of the host's disk, of /proc anew, and of what hides the walls."""

from probe import OUTSIDE, attempt, libc, through

calls = [
    ("mount tmpfs", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
    ("mount proc", lambda: libc.mount(b"proc", b"/proc", b"proc", 0, None)),
    ("mount /dev/vda", lambda: libc.mount(b"/dev/vda", b"/tmp", b"ext4", 1, None)),
    ("remount / writable", lambda: libc.mount(None, b"/", None, 32 | 4096, None)),
    ("umount", lambda: libc.umount2(b"/proc", 2)),
    ("fsopen", lambda: libc.syscall(430, b"tmpfs", 0)),
    ("open_tree", lambda: libc.syscall(428, -100, b"/", 1)),
    ("pivot_root", lambda: libc.syscall(155, b"/tmp", b"/tmp")),
    ("open_by_handle_at", lambda: libc.syscall(304, 0, None, 0)),
]
for name, call in calls:
    attempt()
    if not OUTSIDE and call() >= 0:
        through(name)
